"""Claims: one live attempt a stream, held by a lease and named by a fencing token.

All functions run inside a write transaction that holds the stream's lock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from cfcre.errors import LeaseLost, NotFoundError
from cfcre.operations.ledger.batches import batch_row
from cfcre.operations.ledger.outcomes import settle_row
from cfcre.operations.ledger.promotions import champion_version
from cfcre.operations.ledger.records import (
    RUN_FACT,
    Activity,
    BatchRecord,
    Claim,
    LiveClaim,
    Outcome,
    task_name,
)
from cfcre.operations.ledger.tables import LEARNED_STATES, SETTLED_STATES, batches, claims, streams
from cfcre.operations.owner import Owner

__all__ = [
    "activity",
    "live_claim_row",
    "make_claim",
    "next_batch",
    "recover",
    "renew",
    "verify",
    "waits_for",
]


def live_claim_row(connection: Connection, stream: str) -> Row[Any] | None:
    """The claim that holds the stream, or None."""
    query = select(claims).where(claims.c.stream == stream, claims.c.ended_at.is_(None))
    return connection.execute(query).first()


def verify(connection: Connection, claim: Claim) -> Row[Any]:
    """The claim's row, if it still holds its stream.

    An expired lease that nobody took over still holds: the token decides, not the clock.

    Raises:
        LeaseLost: The attempt was settled or taken over.
    """
    row = live_claim_row(connection, claim.stream)
    if row is None or row.token != claim.token:
        holder = f"{row.run_name} holds the stream now" if row else "it was settled"
        raise LeaseLost(
            f"run {claim.run_name} (token {claim.token}) no longer holds its task: {holder}; "
            "nothing of it was kept, and nothing needs to be done"
        )
    return row


def renew(connection: Connection, claim: Claim, lease_seconds: float, now: datetime) -> None:
    """Prolong the lease from now.

    Raises:
        LeaseLost: The attempt was settled or taken over.
    """
    verify(connection, claim)
    connection.execute(
        update(claims)
        .where(claims.c.stream == claim.stream, claims.c.token == claim.token)
        .values(leased_until=now + timedelta(seconds=lease_seconds))
    )


def recover(connection: Connection, stream: str, *, model: str, now: datetime) -> Outcome | None:
    """Settle the live claim if its attempt is over without having been settled.

    It is over when its lease has run out, or at once when its owner is known to be dead.
    """
    row = live_claim_row(connection, stream)
    if row is None:
        return None
    if row.leased_until > now and Owner.from_json(row.owner).alive() is not False:
        return None
    return settle_row(connection, row, model=model, now=now)


def waits_for(connection: Connection, batch: BatchRecord) -> int | None:
    """The lowest earlier sequence that is missing or not settled, or None."""
    if batch.sequence is None:
        return None
    settled = select(func.count()).where(
        batches.c.stream == batch.stream,
        batches.c.sequence < batch.sequence,
        batches.c.state.in_(SETTLED_STATES),
    )
    # Sequences start at 1 and are unique: so many settled ones are all of them.
    if connection.execute(settled).scalar_one() == batch.sequence - 1:
        return None
    earlier = select(batches.c.sequence, batches.c.state).where(
        batches.c.stream == batch.stream, batches.c.sequence < batch.sequence
    )
    expected = 1
    for row in connection.execute(earlier.order_by(batches.c.sequence)):
        if row.sequence != expected or row.state not in SETTLED_STATES:
            return expected
        expected += 1
    return None if expected == batch.sequence else expected


def next_batch(connection: Connection, stream: str) -> BatchRecord | None:
    """The waiting batch with the lowest sequence, if every earlier sequence is settled."""
    query = (
        select(batches)
        .where(batches.c.stream == stream, batches.c.state == "seen")
        .order_by(batches.c.sequence)
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    batch = BatchRecord.from_row(row)
    return batch if waits_for(connection, batch) is None else None


def make_claim(
    connection: Connection,
    stream: str,
    *,
    owner: Owner,
    lease_seconds: float,
    max_attempts: int,
    max_interruptions: int,
    retry_backoff_seconds: float,
    batch_hash: str | None,
    run: str | None,
    model: str,
    now: datetime,
) -> Claim | None:
    """Claim the stream's next batch, or the named one if it is the next.

    A run that holds the stream already gets its claim again: its first answer was lost.

    Raises:
        NotFoundError: The named batch is not recorded.
    """
    if batch_hash is not None and batch_row(connection, stream, batch_hash) is None:
        raise NotFoundError(
            f"no batch {batch_hash!r} in stream {stream!r}; 'cfcre status' lists the batches"
        )
    held = live_claim_row(connection, stream)
    if held is not None and run is not None:
        again = _claim_of_run(connection, held, run)
        if again is not None and batch_hash in {None, again.batch_hash}:
            this = (claims.c.stream == stream) & (claims.c.token == again.token)
            # The process may be a new one; the old one's death must not end the claim.
            changes = {"leased_until": now + timedelta(seconds=lease_seconds)}
            connection.execute(update(claims).where(this).values(owner=owner.to_json(), **changes))
            return again
    if held is not None and recover(connection, stream, model=model, now=now) is None:
        return None
    batch = next_batch(connection, stream)
    if batch is None or batch.sequence is None or not _ready(batch, now):
        return None
    if batch_hash is not None and batch.batch_hash != batch_hash:
        return None
    learned, parent = _learned(connection, stream)
    token = connection.execute(select(streams.c.token).where(streams.c.name == stream)).scalar_one()
    task, attempt = learned + 1, batch.attempt + 1
    claim = Claim(
        stream=stream,
        batch_hash=batch.batch_hash,
        batch_name=batch.name,
        keys=batch.keys,
        manifest_key=batch.manifest_key,
        sequence=batch.sequence,
        task=task,
        attempt=attempt,
        token=token + 1,
        run_name=f"{task_name(stream, task, batch.batch_hash)}-a{attempt}",
        parent_version=parent,
        champion_version=champion_version(connection, model),
    )
    _write(
        connection,
        claim,
        run,
        owner=owner.to_json(),
        claimed_at=now,
        leased_until=now + timedelta(seconds=lease_seconds),
        max_attempts=max_attempts,
        max_interruptions=max_interruptions,
        retry_backoff_seconds=retry_backoff_seconds,
    )
    return claim


def activity(connection: Connection, stream: str, now: datetime) -> Activity:
    """What the stream is about to do; reads only."""
    row = live_claim_row(connection, stream)
    live = None
    if row is not None:
        hash_query = select(batches.c.batch_hash).where(batches.c.id == row.batch_id)
        live = LiveClaim(
            row.run_name,
            connection.execute(hash_query).scalar_one(),
            row.token,
            row.owner,
            row.claimed_at,
            row.leased_until,
        )
    waiting = select(func.count()).where(batches.c.stream == stream, batches.c.state == "seen")
    count = connection.execute(waiting).scalar_one()
    batch = next_batch(connection, stream)
    ready = batch is not None and live is None and _ready(batch, now)
    backoff = None
    if batch is not None and batch.next_attempt_at is not None and batch.next_attempt_at > now:
        backoff = batch.next_attempt_at
    return Activity(
        stream=stream,
        claimable=batch.batch_hash if batch is not None and ready else None,
        live=live,
        backoff_until=backoff,
        waiting=count - (1 if ready or backoff else 0),
    )


def _ready(batch: BatchRecord, now: datetime) -> bool:
    # A retried batch first gets its objects back into the inbox.
    due = batch.next_attempt_at is None or batch.next_attempt_at <= now
    return due and batch.placed == "inbox"


def _learned(connection: Connection, stream: str) -> tuple[int, str | None]:
    """Count of the stream's learned tasks, and the newest one's model version."""
    this = (batches.c.stream == stream) & batches.c.state.in_(LEARNED_STATES)
    newest = select(batches.c.model_version).where(this).order_by(batches.c.task.desc()).limit(1)
    count = select(func.count()).select_from(batches).where(this)
    row = connection.execute(select(count.scalar_subquery(), newest.scalar_subquery())).one()
    return row[0], row[1]


def _claim_of_run(connection: Connection, row: Row[Any], run: str) -> Claim | None:
    """The live claim, if that pipeline run made it and has done nothing with it yet."""
    found = connection.execute(select(batches).where(batches.c.id == row.batch_id)).one()
    batch = BatchRecord.from_row(found)
    if batch.facts.get(RUN_FACT) != run or batch.state != "claimed" or batch.sequence is None:
        return None
    return Claim(
        stream=row.stream,
        batch_hash=batch.batch_hash,
        batch_name=batch.name,
        keys=batch.keys,
        manifest_key=batch.manifest_key,
        sequence=batch.sequence,
        task=row.task,
        attempt=row.attempt,
        token=row.token,
        run_name=row.run_name,
        parent_version=row.parent_version,
        champion_version=row.champion_version,
    )


def _write(connection: Connection, claim: Claim, run: str | None, **values: Any) -> None:
    connection.execute(
        update(streams).where(streams.c.name == claim.stream).values(token=claim.token)
    )
    this = (batches.c.stream == claim.stream) & (batches.c.batch_hash == claim.batch_hash)
    connection.execute(
        update(batches)
        .where(this)
        .values(
            state="claimed",
            task=claim.task,
            attempt=claim.attempt,
            next_attempt_at=None,
            # What an earlier attempt found out is not this one's: a verdict of one and a model of
            # another must never meet.
            facts={} if run is None else {RUN_FACT: run},
            seconds={},
            model_version=None,
            verdict=None,
        )
    )
    connection.execute(
        insert(claims).values(
            stream=claim.stream,
            token=claim.token,
            batch_id=select(batches.c.id).where(this).scalar_subquery(),
            attempt=claim.attempt,
            task=claim.task,
            run_name=claim.run_name,
            parent_version=claim.parent_version,
            champion_version=claim.champion_version,
            **values,
        )
    )
