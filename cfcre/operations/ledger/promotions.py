"""The champion's history. The ledger is the truth; the registry's alias follows it.

The champion is what remains when the history is replayed: a promotion puts a version on a stack, a
rollback takes the top one off. So two rollbacks go two versions back, not back and forth.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from cfcre.errors import CfcreError, ConfigurationError
from cfcre.operations.ledger.records import Promotion, clean_json, clean_text
from cfcre.operations.ledger.tables import promotions

__all__ = [
    "champion_stack",
    "champion_version",
    "gate_promotion",
    "history",
    "insert_promotion",
    "mark_alias_moved",
    "move_champion",
    "pending_alias",
]


def history(connection: Connection, model: str) -> list[Promotion]:
    """Every move of the model's champion, oldest first."""
    query = select(promotions).where(promotions.c.model == model).order_by(promotions.c.id)
    return [Promotion.from_row(row) for row in connection.execute(query)]


def champion_stack(moves: list[Promotion]) -> list[str]:
    """Versions that led to the champion, which is the last; empty before the first promotion."""
    stack: list[str] = []
    for move in moves:
        if move.kind == "rollback":
            while stack and stack[-1] != move.new_version:
                stack.pop()
        elif not stack or stack[-1] != move.new_version:
            stack.append(move.new_version)
    return stack


def champion_version(connection: Connection, model: str) -> str | None:
    """The version that serves, or None."""
    query = (
        select(promotions.c.new_version)
        .where(promotions.c.model == model)
        .order_by(promotions.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def gate_promotion(
    connection: Connection, model: str, stream: str, batch_hash: str
) -> Promotion | None:
    """The promotion that the batch's own run made, or None."""
    query = select(promotions).where(
        promotions.c.model == model,
        promotions.c.kind == "gate",
        promotions.c.stream == stream,
        promotions.c.batch_hash == batch_hash,
    )
    row = connection.execute(query).first()
    return None if row is None else Promotion.from_row(row)


def move_champion(
    connection: Connection,
    model: str,
    new: str,
    *,
    expected_old: str | None,
    kind: str,
    actor: str,
    reason: str,
    stream: str | None,
    batch_hash: str | None,
    metrics: Mapping[str, Any],
    verdict: str | None,
    now: datetime,
) -> Promotion:
    """Compare and set; the model is locked by the caller.

    Raises:
        CfcreError: The champion is not the expected one.
        ConfigurationError: A rollback to anything but the version before the champion.
    """
    moves = history(connection, model)
    stack = champion_stack(moves)
    champion = stack[-1] if stack else None
    if champion != expected_old:
        raise CfcreError(
            f"the champion is {_named(champion)}, not {_named(expected_old)} as expected: "
            "it was moved meanwhile; look at 'cfcre models' and decide again"
        )
    if kind == "rollback" and (len(stack) < 2 or stack[-2] != new):
        before = stack[-2] if len(stack) > 1 else None
        raise ConfigurationError(
            f"a rollback from {_named(champion)} leads to {_named(before)}, not to {_named(new)}"
        )
    return insert_promotion(
        connection,
        model,
        kind=kind,
        old=champion,
        new=new,
        stream=stream,
        batch_hash=batch_hash,
        metrics=metrics,
        verdict=verdict,
        actor=actor,
        reason=reason,
        now=now,
    )


def insert_promotion(
    connection: Connection,
    model: str,
    *,
    kind: str,
    old: str | None,
    new: str,
    stream: str | None,
    batch_hash: str | None,
    metrics: Mapping[str, Any],
    verdict: str | None,
    actor: str,
    reason: str,
    now: datetime,
) -> Promotion:
    """Add a row to the history; the model is locked by the caller."""
    result = connection.execute(
        insert(promotions)
        .values(
            at=now,
            model=model,
            kind=kind,
            old_version=old,
            new_version=new,
            stream=stream,
            batch_hash=batch_hash,
            metrics=clean_json(dict(metrics)),
            verdict=verdict,
            actor=clean_text(actor),
            reason=clean_text(reason),
        )
        .returning(promotions)
    )
    return Promotion.from_row(result.one())


def mark_alias_moved(
    connection: Connection, model: str, promotion_id: int, *, earlier: bool, now: datetime
) -> None:
    """Note that the registry's alias follows this move.

    Args:
        connection: The transaction.
        model: Registered model.
        promotion_id: The move.
        earlier: Also note it for all earlier moves, which this one has overtaken.
        now: The moment.
    """
    this = promotions.c.id <= promotion_id if earlier else promotions.c.id == promotion_id
    connection.execute(
        update(promotions)
        .where(promotions.c.model == model, this, promotions.c.alias_moved_at.is_(None))
        .values(alias_moved_at=now)
    )


def pending_alias(connection: Connection, model: str) -> bool:
    """Whether a move is not known to have reached the registry's alias."""
    query = select(promotions.c.id).where(
        promotions.c.model == model, promotions.c.alias_moved_at.is_(None)
    )
    return connection.execute(query.limit(1)).first() is not None


def _named(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
