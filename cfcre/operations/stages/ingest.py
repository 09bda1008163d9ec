"""Stage ``ingest``: the batch's objects become rows."""

from __future__ import annotations

from pathlib import Path

from cfcre.operations.stages.common import stage
from cfcre.operations.stages.retrying import retrying

__all__ = ["run"]

NAME = "ingest"


@retrying
def run(*, claim: str, settings: str, raw: str) -> dict[str, int]:
    """Read, verify and parse the claimed batch.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        raw: File to write the rows to.

    Returns:
        Facts for the artifact's metadata.

    Raises:
        BatchRejected: The batch can not be read.
        StoreUnavailable: The object store did not answer.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        from cfcre.intake.ingest import ingest_batch
        from cfcre.intake.rows import write_raw

        batch = ingest_batch(running.store, running.claim, settings=running.settings)
        write_raw(Path(raw), batch)
        running.ledger.advance(
            running.claim,
            "claimed",
            files=[{"path": file.path, "format": file.format} for file in batch.files],
            descriptions=batch.descriptions,
        )
        running.facts["rows"] = len(batch.rows)
        return {"rows": len(batch.rows), "files": len(batch.files)}
