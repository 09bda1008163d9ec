"""Quarantined rows in the object store: one line a row, and a summary a batch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cfcre.errors import ConfigurationError, DataError, NotFoundError
from cfcre.intake.rows import json_line
from cfcre.intake.store import ObjectStore

__all__ = [
    "QuarantineEntry",
    "QuarantinedRow",
    "docs_key",
    "list_quarantine",
    "read_quarantine",
    "write_quarantine",
]

_ROOT = "quarantine"
_SUMMARY = ".summary.json"
_READ_LIMIT = 4_000_000_000


@dataclass(frozen=True)
class QuarantinedRow:
    """A row that was not learned.

    Attributes:
        index: 0-based position in the batch.
        source: File and place in it.
        reason: Code of :data:`cfcre.intake.rows.ROW_REASONS`.
        detail: What was found and what is accepted.
        raw: The row as given, to be repaired and submitted again.
    """

    index: int
    source: str
    reason: str
    detail: str
    raw: Any


@dataclass(frozen=True)
class QuarantineEntry:
    """One batch in the quarantine: its counts (read, accepted, quarantined) and reasons."""

    stream: str
    batch_hash: str
    batch_name: str
    counts: dict[str, int]
    by_reason: dict[str, int]


def write_quarantine(
    store: ObjectStore,
    stream: str,
    batch_hash: str,
    rows: Sequence[QuarantinedRow],
    counts: Mapping[str, int],
    *,
    batch_name: str = "",
) -> str:
    """Store the rows, then the summary; writing again replaces both.

    Returns:
        The key of the rows.

    Raises:
        StoreUnavailable: The store did not answer.
    """
    key = f"{_ROOT}/{stream}/{batch_hash}.jsonl"
    store.write(key, b"".join(json_line(asdict(row)) for row in rows))
    by_reason = dict(Counter(row.reason for row in rows).most_common())
    entry = QuarantineEntry(stream, batch_hash, batch_name, dict(counts), by_reason)
    store.write(f"{_ROOT}/{stream}/{batch_hash}{_SUMMARY}", json_line(asdict(entry)))
    return key


def docs_key(stream: str, batch_hash: str) -> str:
    """Where the Data Docs of a rejected batch lie, beside its rows."""
    return f"{_ROOT}/{stream}/{batch_hash}.data_docs.html"


def list_quarantine(store: ObjectStore, stream: str | None = None) -> list[QuarantineEntry]:
    """Every batch that was validated, by stream and hash; also those that lost no row.

    Raises:
        DataError: A summary is damaged.
        StoreUnavailable: The store did not answer.
    """
    prefix = f"{_ROOT}/{stream}/" if stream else f"{_ROOT}/"
    entries = []
    for info in store.list(prefix):
        if not info.key.endswith(_SUMMARY):
            continue
        try:
            entries.append(QuarantineEntry(**json.loads(store.read(info.key, limit=1_000_000))))
        except (ValueError, TypeError) as error:
            raise DataError(f"the quarantine summary {info.key} is damaged: {error}") from error
    return entries


def read_quarantine(store: ObjectStore, which: str) -> tuple[QuarantineEntry, list[QuarantinedRow]]:
    """The rows of one batch.

    Args:
        store: The object store.
        which: Batch name, batch hash, or at least four first digits of the hash; before it may
            stand a stream and a slash.

    Raises:
        NotFoundError: No such batch.
        ConfigurationError: Several batches fit.
        DataError: The stored rows are damaged.
        StoreUnavailable: The store did not answer.
    """
    stream, _, which = which.rpartition("/")
    entries = list_quarantine(store, stream or None)
    fitting = [e for e in entries if which in (e.batch_name, e.batch_hash)]
    if not fitting and len(which) >= 4:
        fitting = [e for e in entries if e.batch_hash.startswith(which)]
    if not fitting:
        raise NotFoundError(
            f"no batch {which!r} in the quarantine; 'cfcre quarantine list' shows all"
        )
    if len(fitting) > 1:
        names = ", ".join(f"{e.stream}/{e.batch_hash[:12]}" for e in fitting[:5])
        raise ConfigurationError(
            f"{which!r} fits {len(fitting)} batches ({names}); name one of them as STREAM/HASH"
        )
    entry = fitting[0]
    key = f"{_ROOT}/{entry.stream}/{entry.batch_hash}.jsonl"
    try:
        lines = store.read(key, limit=_READ_LIMIT).decode("utf-8").split("\n")
        return entry, [QuarantinedRow(**json.loads(line)) for line in lines if line]
    except (ValueError, TypeError) as error:
        raise DataError(f"the quarantined rows {key} are damaged: {error}") from error
