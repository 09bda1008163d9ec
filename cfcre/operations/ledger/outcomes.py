"""What stages report, and what follows from it when an attempt is over.

======================================  ==============================================
what the attempt left behind            what becomes of the batch
======================================  ==============================================
a registered version and a verdict      promoted or held: learned, whatever came later
an error at the batch's own fault       rejected
another error                           tried again after a pause; failed after max_attempts
nothing (killed, node lost)             tried again at once; failed after max_interruptions
======================================  ==============================================

All functions run inside a write transaction that holds the stream's lock.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from cfcre.errors import CfcreError
from cfcre.operations.ledger.database import lock_model
from cfcre.operations.ledger.promotions import champion_version, gate_promotion, insert_promotion
from cfcre.operations.ledger.records import (
    BatchRecord,
    Ending,
    Outcome,
    Promotion,
    clean_json,
    clean_text,
)
from cfcre.operations.ledger.tables import ACTIVE_STATES, batches, claims

__all__ = [
    "advance",
    "backoff_seconds",
    "judged_against",
    "promote_by_gate",
    "record_error",
    "record_stage",
    "settle_row",
    "summary",
]

_LONGEST_BACKOFF = 600.0
_VERDICTS = ("promote", "hold")


def backoff_seconds(base: float, failures: int) -> float:
    """Pause after that many failures: ``base * 2**(failures-1)`` seconds, at most 600."""
    # The exponent is bounded too: 2.0**1100 would overflow.
    return float(min(base * 2.0 ** min(failures - 1, 60), _LONGEST_BACKOFF))


def advance(connection: Connection, row: Row[Any], state: str, facts: dict[str, Any]) -> None:
    """Move the claimed batch to a state, or leave it there, and merge facts.

    Args:
        connection: The transaction.
        row: The verified live claim.
        state: claimed, validated, training or evaluated; never an earlier one than now.
        facts: JSON-able; ``model_version`` and ``verdict`` (promote or hold) decide the outcome.

    Raises:
        CfcreError: The state or the verdict is unknown, or the state goes back.
    """
    batch = _batch(connection, row)
    if state not in ACTIVE_STATES:
        raise CfcreError(f"a running task can not be {state!r}; give one of {list(ACTIVE_STATES)}")
    if ACTIVE_STATES.index(state) < ACTIVE_STATES.index(batch.state):
        raise CfcreError(f"run {row.run_name} is {batch.state!r} and can not go back to {state!r}")
    verdict = facts.get("verdict")
    if verdict is not None and verdict not in _VERDICTS:
        raise CfcreError(f"a verdict is one of {list(_VERDICTS)}, got {verdict!r}")
    values: dict[str, Any] = {"state": state, "facts": {**batch.facts, **clean_json(facts)}}
    if verdict is not None:
        values["verdict"] = verdict
    if facts.get("model_version") is not None:
        values["model_version"] = str(facts["model_version"])
    connection.execute(update(batches).where(batches.c.id == row.batch_id).values(**values))


def record_stage(connection: Connection, row: Row[Any], stage: str, seconds: float) -> None:
    """Note how long a stage took; a repeated stage replaces its time.

    Where a retry brought the stage to its end, its earlier error is no longer the attempt's.
    """
    if row.error_stage == clean_text(stage) and row.error_retryable:
        gone = {"error_stage": None, "error_message": None, "error_reason": None}
        connection.execute(
            update(claims)
            .where(claims.c.stream == row.stream, claims.c.token == row.token)
            .values(**gone, error_retryable=None)
        )
    times = {**_batch(connection, row).seconds, clean_text(stage): clean_json(float(seconds))}
    connection.execute(update(batches).where(batches.c.id == row.batch_id).values(seconds=times))


def record_error(
    connection: Connection,
    row: Row[Any],
    stage: str,
    message: str,
    retryable: bool,
    reason: str | None,
) -> None:
    """Note why the attempt failed; the last error counts, but a rejection stays."""
    if _is_rejection(row):
        return
    connection.execute(
        update(claims)
        .where(claims.c.stream == row.stream, claims.c.token == row.token)
        .values(
            error_stage=clean_text(stage),
            error_message=clean_text(message),
            error_retryable=retryable,
            error_reason=reason,
        )
    )


def settle_row(connection: Connection, row: Row[Any], *, model: str, now: datetime) -> Outcome:
    """End an attempt and decide what becomes of its batch; a second time changes nothing.

    Args:
        connection: The transaction.
        row: The claim, live or ended.
        model: Registered model whose champion a passed gate moves.
        now: The moment.
    """
    if row.ended_at is not None:
        return Outcome(**{**row.outcome, "settled_now": False})
    batch = _batch(connection, row)
    if batch.model_version is not None and batch.verdict is not None:
        outcome = _learned(connection, row, batch, model=model, now=now)
    elif _is_rejection(row):
        outcome = _leave(row, batch, "rejected", "rejected", row.error_reason, row.error_message)
    elif row.error_message is not None:
        outcome = _failure(row, batch)
    else:
        outcome = _interruption(row, batch)
    _write(connection, row, outcome, now)
    return outcome


def summary(batch: BatchRecord) -> dict[str, Any]:
    """Accuracy figures among a batch's facts, given directly or in an evaluation summary."""
    evaluation = batch.facts.get("evaluation")
    facts = {**evaluation, **batch.facts} if isinstance(evaluation, dict) else batch.facts
    return {name: facts.get(name) for name in ("accuracy", "average_accuracy", "forgetting")}


def judged_against(batch: BatchRecord, row: Row[Any]) -> str | None:
    """The champion that the batch's candidate was compared with."""
    version = batch.facts.get("champion_version", row.champion_version)
    return None if version is None else str(version)


def promote_by_gate(
    connection: Connection, row: Row[Any], *, model: str, reason: str, now: datetime
) -> Promotion | None:
    """Write the promotion that a run's verdict asks for, once.

    Args:
        connection: The transaction.
        row: The claim.
        model: Registered model.
        reason: Why, for people.
        now: The moment.

    Returns:
        The move; None when the verdict is to hold, or when the champion is no longer the one that
        the candidate was judged against.

    Raises:
        CfcreError: The run recorded no version or no verdict.
    """
    batch = _batch(connection, row)
    if batch.model_version is None or batch.verdict is None:
        raise CfcreError(
            f"run {row.run_name} has no registered version and verdict yet; "
            "advance() with both comes first"
        )
    if batch.verdict != "promote":
        return None
    lock_model(connection, model)
    made = gate_promotion(connection, model, batch.stream, batch.batch_hash)
    champion = champion_version(connection, model)
    if made is not None or champion != judged_against(batch, row):
        return made
    return insert_promotion(
        connection,
        model,
        kind="gate",
        old=champion,
        new=batch.model_version,
        stream=batch.stream,
        batch_hash=batch.batch_hash,
        metrics=summary(batch),
        verdict=batch.verdict,
        actor=row.run_name,
        reason=reason,
        now=now,
    )


def _learned(
    connection: Connection, row: Row[Any], batch: BatchRecord, *, model: str, now: datetime
) -> Outcome:
    if batch.verdict == "hold":
        return _leave(row, batch, "learned", "held", None, None)
    # Where the run ended between its verdict and the promotion, this makes up for it, on the same
    # terms; else it finds the promotion that was made.
    reason = "every check of the gate passed"
    made = promote_by_gate(connection, row, model=model, reason=reason, now=now)
    champion = champion_version(connection, model)
    if made is None and champion != batch.model_version:
        detail = (
            f"judged against {_named(judged_against(batch, row))}, but {_named(champion)} became "
            f"the champion meanwhile; promote version {batch.model_version} by hand if it is better"
        )
        return _leave(row, batch, "learned", "held", "champion_moved", detail)
    return _leave(row, batch, "learned", "promoted", None, None)


def _named(version: str | None) -> str:
    return "no champion" if version is None else f"version {version}"


def _failure(row: Row[Any], batch: BatchRecord) -> Outcome:
    reason = row.error_reason or "task_failed"
    detail = f"{row.error_stage}: {row.error_message}"
    state = "failed" if batch.failures + 1 >= row.max_attempts else "seen"
    return _leave(row, batch, "failure", state, reason, detail)


def _interruption(row: Row[Any], batch: BatchRecord) -> Outcome:
    count = batch.interruptions + 1
    detail = f"the run vanished {count} time{'s' if count > 1 else ''}, last in {batch.state!r}"
    state = "failed" if count >= row.max_interruptions else "seen"
    return _leave(row, batch, "interruption", state, "interrupted", detail)


def _leave(
    row: Row[Any],
    batch: BatchRecord,
    ending: Ending,
    state: str,
    reason: str | None,
    detail: str | None,
) -> Outcome:
    return Outcome(
        stream=row.stream,
        batch_hash=batch.batch_hash,
        run_name=row.run_name,
        ending=ending,
        state=state,
        reason=reason,
        detail=detail,
        model_version=batch.model_version,
        verdict=batch.verdict,
    )


def _write(connection: Connection, row: Row[Any], outcome: Outcome, now: datetime) -> None:
    values: dict[str, Any] = {
        "state": outcome.state,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "settled_at": now if outcome.state != "seen" else None,
    }
    if outcome.ending != "learned":
        values["task"] = None
    if outcome.ending == "failure":
        failures = _batch(connection, row).failures + 1
        values["failures"] = failures
        if outcome.state == "seen":
            pause = backoff_seconds(row.retry_backoff_seconds, failures)
            values["next_attempt_at"] = now + timedelta(seconds=pause)
    elif outcome.ending == "interruption":
        values["interruptions"] = _batch(connection, row).interruptions + 1
    connection.execute(update(batches).where(batches.c.id == row.batch_id).values(**values))
    connection.execute(
        update(claims)
        .where(claims.c.stream == row.stream, claims.c.token == row.token)
        .values(
            ended_at=now,
            ending=outcome.ending,
            outcome=clean_json(asdict(replace(outcome, settled_now=True))),
        )
    )


def _is_rejection(row: Row[Any]) -> bool:
    return row.error_message is not None and not row.error_retryable and bool(row.error_reason)


def _batch(connection: Connection, row: Row[Any]) -> BatchRecord:
    found = connection.execute(select(batches).where(batches.c.id == row.batch_id)).one()
    return BatchRecord.from_row(found)
