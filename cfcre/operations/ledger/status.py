"""What ``cfcre status --json`` prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from cfcre.config.names import is_documents_stream
from cfcre.operations.ledger.claims import live_claim_row, waits_for
from cfcre.operations.ledger.outcomes import summary
from cfcre.operations.ledger.records import BatchRecord
from cfcre.operations.ledger.tables import batches, streams

__all__ = ["ledger_status"]


def ledger_status(
    connection: Connection, now: datetime, stream: str | None = None
) -> dict[str, Any]:
    """Tasks and waiting batches of every stream, or of one.

    ``tasks`` holds learned and running tasks in order of their number, then rejected and failed
    batches, whose ``task`` is null. ``pending`` holds waiting batches with the reason why. Tasks of
    documents have ``scores``, the F1 figures of the span model, null before it was scored.
    """
    query = select(streams.c.name).order_by(streams.c.name)
    if stream is not None:
        query = query.where(streams.c.name == stream)
    names = list(connection.execute(query).scalars())
    return {"streams": [_stream(connection, name, now) for name in names]}


def _stream(connection: Connection, name: str, now: datetime) -> dict[str, Any]:
    query = select(batches).where(batches.c.stream == name)
    records = [
        BatchRecord.from_row(row) for row in connection.execute(query.order_by(batches.c.id))
    ]
    tasks = [record for record in records if record.state != "seen"]
    tasks.sort(key=lambda record: (record.task is None, record.task or 0))
    pending = [record for record in records if record.state == "seen"]
    pending.sort(key=lambda record: record.sequence or 0)
    live = live_claim_row(connection, name)
    running = None if live is None else str(live.run_name)
    return {
        "name": name,
        "tasks": [_task(record) for record in tasks],
        "pending": [_pending(record, _why(connection, record, running, now)) for record in pending],
    }


def _task(record: BatchRecord) -> dict[str, Any]:
    rows = record.facts.get("rows")
    rows = rows if isinstance(rows, dict) else {}
    return {
        "task": record.task,
        "batch": record.batch_hash,
        "state": record.state,
        "relations": record.facts.get("relations", []),
        "rows": {name: rows.get(name) for name in ("read", "accepted", "quarantined")},
        "model_version": record.model_version,
        **summary(record),
        "verdict": record.verdict,
        "seconds": record.seconds,
        "batch_name": record.name,
        "sequence": record.sequence,
        "attempt": record.attempt,
        "attempts": record.failures,
        "interruptions": record.interruptions,
        "reason": record.reason,
        "detail": record.detail,
        "settled_at": _moment(record.settled_at),
        **({"scores": record.facts.get("scores")} if is_documents_stream(record.stream) else {}),
    }


def _pending(record: BatchRecord, why: str) -> dict[str, Any]:
    return {
        "batch": record.batch_hash,
        "name": record.name,
        "sequence": record.sequence,
        "state": record.state,
        "why": why,
        "attempts": record.failures,
        "interruptions": record.interruptions,
        "next_attempt_at": _moment(record.next_attempt_at),
        "detail": record.detail,
    }


def _why(connection: Connection, record: BatchRecord, running: str | None, now: datetime) -> str:
    sequence = waits_for(connection, record)
    if sequence is not None:
        return f"waiting for sequence {sequence}"
    if running is not None:
        return f"waiting for run {running}"
    if record.next_attempt_at is not None and record.next_attempt_at > now:
        return f"waiting until {_moment(record.next_attempt_at)} to try again: {record.detail}"
    if record.placed != "inbox":
        return "waiting for its files to be moved back to the inbox"
    return "next"


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
