"""Which data a run learned from, as MLflow dataset inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cfcre.tracking.connection import Connection
from cfcre.tracking.faults import tracking_errors

__all__ = ["DOCUMENT_COLUMNS", "ROW_COLUMNS", "log_dataset"]

# MLflow's column holds 36 characters: the start of the batch hash, the whole is in the profile.
_DIGEST_CHARS = 36
_NAME_CHARS = 500
_SOURCE_TYPE = "cfcre-object-store"
ROW_COLUMNS = (
    ("text", "string", True),
    ("head", "{start: long, end: long}", True),
    ("tail", "{start: long, end: long}", True),
    ("relation", "string", True),
    ("id", "string", False),
    ("split", "string", False),
)
"""Name, type and whether it is required, of each field of a row of a relation batch."""
DOCUMENT_COLUMNS = (
    ("tokens", "Array(string)", False),
    ("text", "string", False),
    ("entities", "Array({start: long, end: long, type: string})", True),
    ("relations", "Array({head: long, tail: long, type: string})", True),
    ("orig_id", "string", False),
    ("split", "string", False),
)
"""The same of a document."""


def log_dataset(
    connection: Connection,
    run_id: str,
    *,
    batch_hash: str,
    batch_name: str,
    keys: Sequence[str],
    rows: Mapping[str, int],
    relations: Mapping[str, int] | Sequence[str],
    stream: str = "",
    context: str = "training",
    sources: Mapping[str, Any] | None = None,
    columns: Sequence[tuple[str, str, bool]] = ROW_COLUMNS,
) -> None:
    """Record the batch as an input of the run. Logging it again changes nothing.

    Args:
        connection: The store.
        run_id: The run.
        batch_hash: SHA-256 of the batch's content; its start is the data set's digest.
        batch_name: The data set's name.
        keys: Object store keys that held the batch when it was read.
        rows: Counts: read, accepted, quarantined, and those of each split.
        relations: Relation names, or names with their accepted rows.
        stream: Stream of the batch.
        context: MLflow's data context.
        sources: More about the source, for example the keys of the canonical splits.
        columns: What a row is.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"uri": keys[0] if keys else "", "keys": list(keys), **(sources or {})}
    schema = {
        "mlflow_colspec": [
            {"type": kind, "name": name, "required": required} for name, kind, required in columns
        ]
    }
    profile = {
        "batch_sha256": batch_hash,
        "stream": stream,
        "num_rows": rows.get("accepted", 0),
        "rows": dict(rows),
        "relations": dict(relations) if isinstance(relations, Mapping) else list(relations),
    }
    dataset = Dataset(
        name=batch_name[:_NAME_CHARS],
        digest=batch_hash[:_DIGEST_CHARS],
        source_type=_SOURCE_TYPE,
        source=json.dumps(source, ensure_ascii=False),
        schema=json.dumps(schema),
        profile=json.dumps(profile, ensure_ascii=False),
    )
    with tracking_errors("log the data set", connection.uri):
        tag = InputTag("mlflow.data.context", context)
        connection.client.log_inputs(run_id, [DatasetInput(dataset, [tag])])
