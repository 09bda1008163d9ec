"""Claims, leases, fencing, and what becomes of a batch when an attempt is over."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cfcre.errors import CfcreError, ConfigurationError, LeaseLost, NotFoundError
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.ledger.outcomes import backoff_seconds
from cfcre.operations.owner import Owner, current_owner

Drop = Callable[..., str]
Take = Callable[..., Claim]
Learn = Callable[..., str]


def test_a_claim_names_its_run_task_and_parent(
    ledger: Ledger, drop: Drop, take: Take, learn: Learn
) -> None:
    drop("a"), drop("b"), drop("c"), drop("d")
    claim = take()
    assert claim.run_name == "s-001-aaaaaaaa-a1"
    assert claim.task_name == "s-001-aaaaaaaa"
    assert (claim.task, claim.attempt, claim.sequence, claim.parent_version) == (1, 1, 1, None)
    assert Claim.from_json(json.loads(json.dumps(claim.to_json()))) == claim
    # Kubeflow gives numbers back as floats.
    floats = {**claim.to_json(), "task": 1.0, "token": float(claim.token)}
    assert Claim.from_json(json.dumps(floats)) == claim
    ledger.advance(claim, "evaluated", verdict="hold", model_version="1")
    assert ledger.settle(claim).state == "held"
    assert learn("2") == "promoted"
    third = take()
    ledger.record_error(third, "validate", "too few rows", False, "too_few_rows")
    assert ledger.settle(third).state == "rejected"
    fourth = take()
    # The parent is the newest learned task, held or promoted; a rejected batch is no task.
    assert (fourth.task, fourth.parent_version, fourth.champion_version) == (3, "2", "2")
    assert fourth.token > third.token > claim.token
    for bad in ("{}", "[1]", "no json", "null"):
        with pytest.raises(ConfigurationError):
            Claim.from_json(bad)


def test_one_live_claim_a_stream_and_other_streams_go_on(drop: Drop, take: Take) -> None:
    drop("a"), drop("b"), drop("a", stream="t")
    assert take() is not None
    assert take() is None
    assert take("t").token == 1  # tokens count for each stream
    assert take("unknown") is None


def test_an_expired_lease_is_taken_over_and_fences_the_old_run(
    ledger: Ledger, clock: Any, drop: Drop, take: Take
) -> None:
    drop("a")
    old = take()
    clock.forward(59.9)
    assert take() is None
    clock.forward(0.1)
    ledger.check(old)  # expired, but nobody took it over: the token still holds
    new = take()
    assert (new.attempt, new.token) == (2, old.token + 1)
    calls: list[Callable[[], Any]] = [
        lambda: ledger.check(old),
        lambda: ledger.renew(old, 60),
        lambda: ledger.advance(old, "evaluated", model_version="stale", verdict="promote"),
        lambda: ledger.record_stage(old, "train", 1.0),
        lambda: ledger.record_error(old, "train", "late", False, "late"),
        lambda: ledger.promote_candidate(old, reason="late"),
    ]
    for call in calls:
        with pytest.raises(LeaseLost, match="a2 holds the stream"):
            call()
    before = ledger.status()
    outcome = ledger.settle(old)
    assert (outcome.ending, outcome.state, outcome.settled_now) == ("interruption", "seen", False)
    assert ledger.status() == before
    ledger.check(new)
    record = ledger.batch("a" * 64)
    assert (record.model_version, record.failures, record.interruptions) == (None, 0, 1)


def test_renewing_keeps_a_claim(ledger: Ledger, clock: Any, drop: Drop, take: Take) -> None:
    drop("a")
    claim = take()
    for _ in range(3):
        clock.forward(50)
        ledger.renew(claim, 60)
        assert take() is None
    live = ledger.live_claim("s")
    assert live is not None and live.leased_until == clock.now + timedelta(seconds=60)


def test_a_dead_owner_is_taken_over_at_once_and_an_unknown_one_is_not(
    ledger: Ledger, drop: Drop, take: Take, dead_owner: Owner
) -> None:
    drop("a")
    take(owner=dead_owner)
    assert take(owner=Owner("elsewhere", "", 1, "")).attempt == 2
    assert take() is None
    assert ledger.recover("s") is None


def test_errors_are_tried_again_after_growing_pauses_then_set_aside(
    ledger: Ledger, clock: Any, drop: Drop, take: Take
) -> None:
    drop("a"), drop("b")
    for attempt, pause in ((1, 2.0), (2, 4.0)):
        claim = take()
        assert (claim.batch_name, claim.attempt) == ("a", attempt)
        ledger.record_error(claim, "train_task", "out of memory", True)
        assert ledger.settle(claim).state == "seen"
        due = ledger.activity()[0].backoff_until
        assert due == clock.now + timedelta(seconds=pause)
        pending = ledger.status()["streams"][0]["pending"]
        assert pending[0]["attempts"] == attempt
        assert pending[0]["next_attempt_at"] == due.isoformat()
        assert "train_task: out of memory" in pending[0]["why"]
        clock.forward(pause - 0.01)
        assert take() is None  # b does not overtake either
        clock.forward(0.01)
    claim = take()
    # A wrong configuration is not the batch's fault: it counts, it does not reject.
    ledger.record_error(claim, "train_task", "no such encoder", False)
    outcome = ledger.settle(claim)
    assert (outcome.state, outcome.reason) == ("failed", "task_failed")
    assert outcome.detail == "train_task: no such encoder"
    assert take().batch_name == "b"


@pytest.mark.parametrize(
    ("failures", "expected"), [(1, 2.0), (2, 4.0), (8, 256.0), (9, 512.0), (10, 600.0), (5000, 600)]
)
def test_backoff(failures: int, expected: float) -> None:
    assert backoff_seconds(2.0, failures) == expected
    assert backoff_seconds(0.0, failures) == 0


def test_interruptions_have_their_own_limit(
    ledger: Ledger, clock: Any, drop: Drop, take: Take
) -> None:
    drop("a")
    for attempt in (1, 2, 3):
        claim = take(max_attempts=1)
        assert claim.attempt == attempt
        ledger.advance(claim, "training", rows={"read": 3})
        state = ledger.settle(claim).state  # nothing recorded, nothing finished
        assert state == ("failed" if attempt == 3 else "seen")
    record = ledger.batch("a")
    assert (record.failures, record.interruptions, record.reason) == (0, 3, "interrupted")
    assert record.detail == "the run vanished 3 times, last in 'training'"


def test_a_rejection_is_final_and_is_not_overwritten(
    ledger: Ledger, drop: Drop, take: Take
) -> None:
    drop("a")
    claim = take()
    ledger.advance(claim, "claimed", rows={"read": 3, "accepted": 1, "quarantined": 2})
    ledger.record_error(claim, "validate", "first", True)
    ledger.record_error(claim, "validate", "too few rows", False, "too_few_rows")
    ledger.record_error(claim, "pipeline", "a component failed", True)
    outcome = ledger.settle(claim)
    assert (outcome.ending, outcome.state, outcome.reason, outcome.detail) == (
        "rejected",
        "rejected",
        "too_few_rows",
        "too few rows",
    )
    task = ledger.status()["streams"][0]["tasks"][0]
    assert (task["task"], task["state"], task["reason"]) == (None, "rejected", "too_few_rows")
    assert task["rows"] == {"read": 3, "accepted": 1, "quarantined": 2}


def test_a_registered_and_judged_task_is_settled_not_run_again(
    ledger: Ledger, drop: Drop, take: Take, dead_owner: Owner
) -> None:
    drop("a"), drop("b")
    claim = take(owner=dead_owner)
    ledger.advance(claim, "evaluated", verdict="promote")
    ledger.advance(claim, "evaluated", model_version="7")
    ledger.record_error(claim, "register", "the alias could not be moved", True)
    following = take()
    assert (following.batch_name, following.task, following.parent_version) == ("b", 2, "7")
    assert ledger.batch("a").state == "promoted"
    # Killed before the promotion: settling made up for it, once.
    assert [(p.kind, p.old_version, p.new_version) for p in ledger.promotions()] == [
        ("gate", None, "7")
    ]
    assert ledger.champion() == "7"
    assert not ledger.settle(claim).settled_now


@pytest.mark.parametrize("facts", [{"verdict": "promote"}, {"model_version": "7"}])
def test_half_finished_is_not_finished_and_leaves_nothing_to_the_next_attempt(
    ledger: Ledger, drop: Drop, take: Take, dead_owner: Owner, facts: dict[str, Any]
) -> None:
    drop("a")
    first = take(owner=dead_owner)
    ledger.advance(first, "evaluated", **facts)
    ledger.record_stage(first, "evaluate", 1.0)
    second = take(owner=dead_owner)
    assert second.attempt == 2
    record = ledger.batch("a")
    assert (record.verdict, record.model_version, record.facts, record.seconds) == (
        None,
        None,
        {},
        {},
    )


def test_settle_is_idempotent_by_claim_and_by_run_name(
    ledger: Ledger, drop: Drop, take: Take
) -> None:
    drop("a")
    claim = take()
    ledger.record_error(claim, "ingest", "store away", True)
    first = ledger.settle(claim.run_name)
    assert first.settled_now
    record = ledger.batch("a")
    for again in (ledger.settle(claim), ledger.settle(claim.run_name)):
        assert not again.settled_now
        assert (again.state, again.detail) == (first.state, first.detail)
    assert ledger.batch("a") == record
    with pytest.raises(LeaseLost, match="settled"):
        ledger.check(claim)
    with pytest.raises(NotFoundError):
        ledger.settle("s-009-aaaaaaaa-a1")


def test_advance_refuses_what_makes_no_sense(ledger: Ledger, drop: Drop, take: Take) -> None:
    drop("a")
    claim = take()
    ledger.advance(claim, "training")
    ledger.advance(claim, "training")
    with pytest.raises(CfcreError, match="go back"):
        ledger.advance(claim, "validated")
    for state in ("promoted", "held", "seen", "nonsense"):
        with pytest.raises(CfcreError):
            ledger.advance(claim, state)
    with pytest.raises(CfcreError, match="verdict"):
        ledger.advance(claim, "evaluated", verdict="yes")
    with pytest.raises(CfcreError, match="set"):
        ledger.advance(claim, "evaluated", relations={"a"})
    assert ledger.batch("a").state == "training"


def test_status_has_the_published_shape(
    ledger: Ledger, drop: Drop, take: Take, learn: Learn
) -> None:
    drop("a"), drop("b"), drop("d", 4)
    claim = take()
    ledger.advance(claim, "validated", rows={"read": 9, "accepted": 7, "quarantined": 2})
    ledger.record_stage(claim, "validate", 1.5)
    ledger.record_stage(claim, "validate", 2.5)  # a repeated stage replaces its time
    ledger.record_stage(claim, "train_task", 3.0)
    evaluation = {"accuracy": [0.9], "average_accuracy": math.nan, "forgetting": 0.0}
    facts = {"relations": ["r1", "r2"], "evaluation": evaluation}
    ledger.advance(claim, "evaluated", verdict="hold", model_version="1", **facts)
    ledger.settle(claim)
    take()
    document = json.loads(json.dumps(ledger.status(), allow_nan=False))
    (stream,) = document["streams"]
    assert stream["name"] == "s"
    first, second = stream["tasks"]
    expected = {
        "task": 1,
        "batch": "a" * 64,
        "state": "held",
        "relations": ["r1", "r2"],
        "rows": {"read": 9, "accepted": 7, "quarantined": 2},
        "model_version": "1",
        "accuracy": [0.9],
        "average_accuracy": None,  # NaN is no JSON
        "forgetting": 0.0,
        "verdict": "hold",
        "seconds": {"validate": 2.5, "train_task": 3.0},
    }
    assert {key: first[key] for key in expected} == expected
    assert (second["task"], second["state"], second["model_version"]) == (2, "claimed", None)
    assert second.keys() == first.keys()
    (pending,) = stream["pending"]
    assert (pending["batch"], pending["sequence"], pending["state"]) == ("d" * 64, 4, "seen")
    assert pending["why"] == "waiting for sequence 2"
    assert ledger.status("nothing") == {"streams": []}


def test_owner_of_the_live_claim_is_shown(ledger: Ledger, drop: Drop, take: Take) -> None:
    drop("a")
    claim = take()
    live = ledger.live_claim("s")
    assert live is not None
    assert Owner.from_json(live.owner) == current_owner()
    assert (live.run_name, live.batch_hash, live.token) == (claim.run_name, "a" * 64, claim.token)
