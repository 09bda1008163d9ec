"""Recording batches, and where their objects lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, select, update

from cfcre.errors import BatchRejected, NotFoundError
from cfcre.operations.ledger.records import BatchRecord, Recorded, clean_text
from cfcre.operations.ledger.tables import LEARNED_STATES, SETTLED_STATES, batches

__all__ = [
    "batch_of_version",
    "batch_row",
    "change_batch",
    "mark_placed",
    "misplaced",
    "next_sequence",
    "read_batch",
    "record_batch",
    "record_rejected",
    "relocate",
]


def batch_row(connection: Connection, stream: str, batch_hash: str) -> Row[Any] | None:
    """The batch's row, or None."""
    query = select(batches).where(batches.c.stream == stream, batches.c.batch_hash == batch_hash)
    return connection.execute(query).first()


def batch_of_version(
    connection: Connection, version: str, of_model: Callable[[str], bool] = lambda stream: True
) -> BatchRecord | None:
    """The batch that a model version was learned from, or None.

    Args:
        connection: The transaction.
        version: Number of the version; two models may both have it.
        of_model: Whether a stream's batches make versions of the model that is meant.
    """
    query = select(batches).where(
        batches.c.model_version == version, batches.c.state.in_(LEARNED_STATES)
    )
    rows = connection.execute(query.order_by(batches.c.id))
    return next((BatchRecord.from_row(row) for row in rows if of_model(row.stream)), None)


def record_batch(
    connection: Connection,
    stream: str,
    batch_hash: str,
    *,
    name: str,
    keys: Sequence[str],
    manifest_key: str | None,
    sequence: int | None,
    submitted_at: str,
    now: datetime,
) -> Recorded:
    """Record a batch once; the stream is locked by the caller.

    Raises:
        BatchRejected: ``sequence_conflict``: another batch of the stream has that sequence;
            ``manifest_invalid``: the sequence is not a positive number.
    """
    row = batch_row(connection, stream, batch_hash)
    if row is not None:
        return _seen_again(BatchRecord.from_row(row), keys)
    if sequence is None:
        sequence = next_sequence(connection, stream)
    else:
        _check_sequence(connection, stream, sequence)
    connection.execute(
        insert(batches).values(
            **_new_row(stream, batch_hash, name, keys, manifest_key, submitted_at, now),
            sequence=sequence,
            state="seen",
        )
    )
    return Recorded(read_batch(connection, stream, batch_hash), new=True)


def record_rejected(
    connection: Connection,
    stream: str,
    batch_hash: str,
    *,
    name: str,
    keys: Sequence[str],
    manifest_key: str | None,
    sequence: int | None,
    submitted_at: str,
    reason: str,
    detail: str,
    now: datetime,
) -> Recorded:
    """Record a batch that is rejected before it ran; the stream is locked by the caller.

    It takes its declared sequence where that is free, so that the batches behind it do not wait for
    a number that never comes, and none otherwise.
    """
    row = batch_row(connection, stream, batch_hash)
    if row is not None:
        batch = BatchRecord.from_row(row)
        if batch.state != "seen":
            return _seen_again(batch, keys)
        change_batch(
            connection,
            batch,
            state="rejected",
            reason=reason,
            detail=clean_text(detail),
            settled_at=now,
            next_attempt_at=None,
        )
        return Recorded(read_batch(connection, stream, batch_hash), new=False)
    if sequence is not None:
        taken = select(batches.c.id).where(
            batches.c.stream == stream, batches.c.sequence == sequence
        )
        if sequence < 1 or connection.execute(taken).first() is not None:
            sequence = None
    connection.execute(
        insert(batches).values(
            **_new_row(stream, batch_hash, name, keys, manifest_key, submitted_at, now),
            sequence=sequence,
            state="rejected",
            reason=reason,
            detail=clean_text(detail),
            settled_at=now,
        )
    )
    return Recorded(read_batch(connection, stream, batch_hash), new=True)


def relocate(
    connection: Connection,
    stream: str,
    batch_hash: str,
    *,
    name: str,
    keys: Sequence[str],
    manifest_key: str | None,
) -> None:
    """Follow a waiting batch whose objects were renamed inside the inbox."""
    connection.execute(
        update(batches)
        .where(
            batches.c.stream == stream,
            batches.c.batch_hash == batch_hash,
            batches.c.state == "seen",
        )
        .values(name=clean_text(name), keys=list(keys), manifest_key=manifest_key, placed="inbox")
    )


def misplaced(connection: Connection, stream: str | None) -> list[BatchRecord]:
    """Batches whose objects do not lie where their state wants them."""
    # BatchRecord.wanted_place in SQL: every step of the reconciler asks, over all batches ever.
    wanted = case(
        (batches.c.state.in_(LEARNED_STATES), "processed"),
        (batches.c.state.in_(SETTLED_STATES), batches.c.state),
        else_="inbox",
    )
    query = select(batches).where(batches.c.placed != wanted).order_by(batches.c.id)
    if stream is not None:
        query = query.where(batches.c.stream == stream)
    return [BatchRecord.from_row(row) for row in connection.execute(query)]


def mark_placed(connection: Connection, batch: BatchRecord, place: str) -> None:
    """Note where the objects lie now, unless somebody else moved them meanwhile."""
    connection.execute(
        update(batches)
        .where(
            batches.c.stream == batch.stream,
            batches.c.batch_hash == batch.batch_hash,
            batches.c.placed == batch.placed,
        )
        .values(placed=place)
    )


def _seen_again(batch: BatchRecord, keys: Sequence[str]) -> Recorded:
    # Keys of its own that still lie in the inbox are the batch itself, on its way to where it
    # belongs.
    itself = batch.placed == "inbox" and not set(keys).isdisjoint(batch.keys)
    return Recorded(batch, new=False, duplicate=batch.settled and not itself)


def next_sequence(connection: Connection, stream: str) -> int:
    """The number after the highest of the stream."""
    query = select(func.max(batches.c.sequence)).where(batches.c.stream == stream)
    return int(connection.execute(query).scalar() or 0) + 1


def _check_sequence(connection: Connection, stream: str, sequence: int) -> None:
    if sequence < 1:
        raise BatchRejected("manifest_invalid", f"sequence is {sequence}; sequences start at 1")
    query = select(batches.c.name, batches.c.batch_hash).where(
        batches.c.stream == stream, batches.c.sequence == sequence
    )
    other = connection.execute(query).first()
    if other is not None:
        raise BatchRejected(
            "sequence_conflict",
            f"sequence {sequence} of stream {stream!r} belongs to batch {other.name!r} "
            f"({other.batch_hash[:8]}); submit without a sequence, or with "
            f"{next_sequence(connection, stream)}",
        )


def _new_row(
    stream: str,
    batch_hash: str,
    name: str,
    keys: Sequence[str],
    manifest_key: str | None,
    submitted_at: str,
    now: datetime,
) -> dict[str, Any]:
    return {
        "stream": stream,
        "batch_hash": batch_hash,
        "name": clean_text(name),
        "keys": list(keys),
        "manifest_key": manifest_key,
        "submitted_at": submitted_at,
        "recorded_at": now,
        "placed": "inbox",
        "attempt": 0,
        "failures": 0,
        "interruptions": 0,
        "facts": {},
        "seconds": {},
    }


def change_batch(connection: Connection, batch: BatchRecord, **values: Any) -> None:
    """Set columns of the batch's row."""
    connection.execute(
        update(batches)
        .where(batches.c.stream == batch.stream, batches.c.batch_hash == batch.batch_hash)
        .values(**values)
    )


def read_batch(connection: Connection, stream: str, batch_hash: str) -> BatchRecord:
    """The batch with that hash.

    Raises:
        NotFoundError: There is none.
    """
    row = batch_row(connection, stream, batch_hash)
    if row is None:
        raise NotFoundError(f"no batch {batch_hash!r} in stream {stream!r}")
    return BatchRecord.from_row(row)
