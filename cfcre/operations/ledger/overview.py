"""Every stream at a glance: what is counted, measured and alerted on.

The cost of the queries does not depend on how many batches a stream has had for longer than the
database needs to count them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, select

from cfcre.operations.ledger.tables import LEARNED_STATES, batches, claims, streams

__all__ = ["StreamOverview", "overview"]


@dataclass
class StreamOverview:
    """One stream.

    Attributes:
        states: State to how many batches are in it; states without batches are left out.
        oldest_pending: When the oldest batch that still waits was recorded.
        claimed_at: When the running task was claimed; None where none runs.
        leased_until: When its lease ends unless it is renewed.
        held_in_a_row: Versions the gate held back since the last one it promoted.
        average_accuracy: Of the newest learned task, 0 to 1.
        forgetting: Of the newest learned task.
    """

    stream: str
    states: dict[str, int] = field(default_factory=dict)
    oldest_pending: datetime | None = None
    claimed_at: datetime | None = None
    leased_until: datetime | None = None
    held_in_a_row: int = 0
    average_accuracy: float | None = None
    forgetting: float | None = None


class _Found(dict[str, StreamOverview]):
    """Streams by name; one that appears between two queries is added."""

    def __missing__(self, stream: str) -> StreamOverview:
        self[stream] = StreamOverview(stream)
        return self[stream]


def overview(connection: Connection) -> list[StreamOverview]:
    """All streams, by name; reads only."""
    names = connection.execute(select(streams.c.name).order_by(streams.c.name)).scalars()
    found = _Found((name, StreamOverview(name)) for name in names)
    _count(connection, found)
    _pending(connection, found)
    _running(connection, found)
    _held(connection, found)
    _newest(connection, found)
    return [found[name] for name in sorted(found)]


def _count(connection: Connection, found: _Found) -> None:
    query = select(batches.c.stream, batches.c.state, func.count()).group_by(
        batches.c.stream, batches.c.state
    )
    for stream, state, count in connection.execute(query):
        found[stream].states[state] = count


def _pending(connection: Connection, found: _Found) -> None:
    query = select(batches.c.stream, func.min(batches.c.recorded_at)).group_by(batches.c.stream)
    for stream, oldest in connection.execute(query.where(batches.c.state == "seen")):
        found[stream].oldest_pending = oldest


def _running(connection: Connection, found: _Found) -> None:
    query = select(claims.c.stream, claims.c.claimed_at, claims.c.leased_until)
    for stream, claimed_at, leased_until in connection.execute(
        query.where(claims.c.ended_at.is_(None))
    ):
        found[stream].claimed_at = claimed_at
        found[stream].leased_until = leased_until


def _held(connection: Connection, found: _Found) -> None:
    promoted = (
        select(batches.c.stream, func.max(batches.c.task).label("task"))
        .where(batches.c.state == "promoted")
        .group_by(batches.c.stream)
        .subquery()
    )
    query = (
        select(batches.c.stream, func.count())
        .join(promoted, promoted.c.stream == batches.c.stream, isouter=True)
        .where(
            batches.c.state == "held",
            batches.c.task > func.coalesce(promoted.c.task, 0),
        )
        .group_by(batches.c.stream)
    )
    for stream, count in connection.execute(query):
        found[stream].held_in_a_row = count


def _newest(connection: Connection, found: _Found) -> None:
    newest = (
        select(batches.c.stream, func.max(batches.c.task).label("task"))
        .where(batches.c.state.in_(LEARNED_STATES))
        .group_by(batches.c.stream)
        .subquery()
    )
    query = select(batches.c.stream, batches.c.facts).join(
        newest, and_(newest.c.stream == batches.c.stream, newest.c.task == batches.c.task)
    )
    for stream, facts in connection.execute(query):
        found[stream].average_accuracy = _figure(facts, "average_accuracy")
        found[stream].forgetting = _figure(facts, "forgetting")


def _figure(facts: dict[str, Any], name: str) -> float | None:
    # As outcomes.summary reads them: a fact of its own, or one of the evaluation.
    inside = facts.get("evaluation")
    value = facts.get(name, inside.get(name) if isinstance(inside, dict) else None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
