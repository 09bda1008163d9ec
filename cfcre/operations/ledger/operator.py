"""What an operator does with one batch: find it, retry it, skip it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, or_, select

from cfcre.errors import ConfigurationError, NotFoundError
from cfcre.operations.ledger.batches import change_batch, next_sequence, read_batch
from cfcre.operations.ledger.records import BatchRecord, clean_text
from cfcre.operations.ledger.tables import LEARNED_STATES, batches

__all__ = ["find_batch", "retry_batch", "skip_batch"]

_SHORTEST_PREFIX = 6


def find_batch(connection: Connection, batch: str, stream: str | None = None) -> BatchRecord:
    """Find a batch by hash, by the first six or more characters of it, or by name.

    Raises:
        NotFoundError: There is none.
        ConfigurationError: There are several.
    """
    by_prefix = batches.c.batch_hash.startswith(batch, autoescape=True)
    matches = [batches.c.batch_hash == batch, batches.c.name == batch]
    if len(batch) >= _SHORTEST_PREFIX:
        matches.append(by_prefix)
    query = select(batches).where(or_(*matches)).order_by(batches.c.id)
    if stream is not None:
        query = query.where(batches.c.stream == stream)
    found = [BatchRecord.from_row(row) for row in connection.execute(query)]
    exact = [record for record in found if record.batch_hash == batch]
    found = exact or found
    where = f" of stream {stream!r}" if stream is not None else ""
    if not found:
        raise NotFoundError(
            f"no batch {batch!r}{where}; give its hash, the start of it, or its name, "
            "as 'cfcre status' shows them"
        )
    if len(found) > 1:
        choices = ", ".join(f"{r.stream}/{r.batch_hash[:12]}" for r in found[:5])
        raise ConfigurationError(f"{batch!r} names {len(found)} batches ({choices}); give the hash")
    return found[0]


def retry_batch(connection: Connection, batch: BatchRecord) -> BatchRecord:
    """Back to ``seen`` with all counts at zero; the stream is locked by the caller.

    Raises:
        ConfigurationError: The batch is learned or runs now.
    """
    _refuse_running(batch, "retried")
    if batch.state in LEARNED_STATES:
        raise ConfigurationError(
            f"batch {batch.name!r} is learned (task {batch.task}, version {batch.model_version}); "
            "only a failed, rejected or waiting batch can be retried"
        )
    sequence = batch.sequence
    if sequence is None:
        sequence = next_sequence(connection, batch.stream)
    change_batch(
        connection,
        batch,
        state="seen",
        sequence=sequence,
        failures=0,
        interruptions=0,
        next_attempt_at=None,
        settled_at=None,
        reason=None,
        detail=None,
    )
    return read_batch(connection, batch.stream, batch.batch_hash)


def skip_batch(
    connection: Connection, batch: BatchRecord, *, detail: str, now: datetime
) -> BatchRecord:
    """Give a batch up: rejected with the reason ``skipped``; the stream goes on without it.

    Raises:
        ConfigurationError: The batch is learned or runs now.
    """
    _refuse_running(batch, "skipped")
    if batch.state in LEARNED_STATES:
        raise ConfigurationError(f"batch {batch.name!r} is learned and can not be skipped")
    change_batch(
        connection,
        batch,
        state="rejected",
        reason="skipped",
        detail=clean_text(detail),
        settled_at=now,
        next_attempt_at=None,
    )
    return read_batch(connection, batch.stream, batch.batch_hash)


def _refuse_running(batch: BatchRecord, done: str) -> None:
    if batch.running:
        raise ConfigurationError(
            f"batch {batch.name!r} runs now ({batch.state}) and can not be {done}; "
            "wait until it has ended"
        )
