"""The champion: by the gate, by hand, back, and an alias that follows in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cfcre.errors import CfcreError, ConfigurationError, NotFoundError, TrackingUnavailable
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.promotion import promote, promote_candidate, reconcile_alias, rollback

WHO = {"reason": "because", "actor": "me"}


class Registry:
    """The part of a model registry that promotion needs, which can be told to fail."""

    def __init__(self, versions: int = 9) -> None:
        self.aliases: dict[str, str] = {}
        self.known = [str(number) for number in range(1, versions + 1)]
        self.before_set: Callable[[], None] = lambda: None

    def set_alias(self, alias: str, version: str) -> None:
        hook, self.before_set = self.before_set, lambda: None
        hook()
        self.aliases[alias] = version

    def alias(self, alias: str) -> str | None:
        return self.aliases.get(alias)

    def versions(self) -> list[dict[str, Any]]:
        return [{"version": version, "aliases": []} for version in self.known]


@pytest.fixture
def registry() -> Registry:
    return Registry()


def champion(ledger: Ledger, registry: Registry) -> str | None:
    assert ledger.champion() == registry.alias("champion")
    return ledger.champion()


def test_rollback_walks_back_and_not_back_and_forth(ledger: Ledger, registry: Registry) -> None:
    for version in "1234":
        promote(ledger, registry, version, **WHO)
    assert rollback(ledger, registry, **WHO).new_version == "3"
    assert rollback(ledger, registry, **WHO).new_version == "2"
    promote(ledger, registry, "7", **WHO)  # a new branch after 2
    assert rollback(ledger, registry, **WHO).new_version == "2"
    assert rollback(ledger, registry, **WHO).new_version == "1"
    assert champion(ledger, registry) == "1"
    with pytest.raises(NotFoundError, match="first champion"):
        rollback(ledger, registry, **WHO)
    assert champion(ledger, registry) == "1"
    moves = [(p.kind, p.old_version, p.new_version) for p in ledger.promotions()]
    assert moves == [
        ("promote", None, "1"),
        ("promote", "1", "2"),
        ("promote", "2", "3"),
        ("promote", "3", "4"),
        ("rollback", "4", "3"),
        ("rollback", "3", "2"),
        ("promote", "2", "7"),
        ("rollback", "7", "2"),
        ("rollback", "2", "1"),
    ]
    assert {(p.actor, p.reason) for p in ledger.promotions()} == {("me", "because")}


def test_a_version_promoted_twice_is_on_the_way_back_twice(
    ledger: Ledger, registry: Registry
) -> None:
    for version in "1213":
        promote(ledger, registry, version, **WHO)
    steps = [rollback(ledger, registry, **WHO).new_version for _ in range(3)]
    assert steps == ["1", "2", "1"]


def test_what_can_not_be_is_refused(ledger: Ledger, registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="no champion"):
        rollback(ledger, registry, **WHO)
    with pytest.raises(NotFoundError, match="'99'"):
        promote(ledger, registry, "99", **WHO)
    with pytest.raises(ConfigurationError, match="reason"):
        promote(ledger, registry, "1", reason=" ", actor="me")
    promote(ledger, registry, "1", **WHO)
    promote(ledger, registry, "2", **WHO)
    registry.known.remove("1")  # deleted from the registry
    with pytest.raises(NotFoundError, match="'1'"):
        rollback(ledger, registry, **WHO)
    assert champion(ledger, registry) == "2"
    assert len(ledger.promotions()) == 2


def test_compare_and_set(ledger: Ledger) -> None:
    ledger.promote("1", expected_old=None, actor="me", reason="r")
    with pytest.raises(CfcreError, match="champion is version 1, not no version"):
        ledger.promote("2", expected_old=None, actor="me", reason="r")
    ledger.promote("2", expected_old="1", actor="me", reason="r")
    with pytest.raises(CfcreError, match="moved meanwhile"):
        ledger.rollback("1", expected_old="1", actor="me", reason="r")
    with pytest.raises(ConfigurationError, match="leads to version 1"):
        ledger.rollback("5", expected_old="2", actor="me", reason="r")
    assert [p.new_version for p in ledger.promotions()] == ["1", "2"]


def test_champions_of_two_models_are_apart(ledger: Ledger, ledger_url: str) -> None:
    other = Ledger(ledger_url, model="other")
    ledger.promote("1", expected_old=None, actor="me", reason="r")
    other.promote("5", expected_old=None, actor="me", reason="r")
    assert (ledger.champion(), other.champion()) == ("1", "5")
    other.close()


def test_promoting_the_champion_again_only_repairs_the_alias(
    ledger: Ledger, registry: Registry
) -> None:
    promote(ledger, registry, "1", **WHO)
    registry.aliases.clear()
    assert promote(ledger, registry, "1", **WHO).id == ledger.promotions()[0].id
    assert champion(ledger, registry) == "1"
    assert len(ledger.promotions()) == 1


def test_a_kill_between_row_and_alias_is_repaired(ledger: Ledger, registry: Registry) -> None:
    def die() -> None:
        raise TrackingUnavailable("killed here")

    promote(ledger, registry, "1", **WHO)
    assert not ledger.pending_alias()
    registry.before_set = die
    with pytest.raises(TrackingUnavailable):
        promote(ledger, registry, "2", **WHO)
    assert (ledger.champion(), registry.alias("champion")) == ("2", "1")
    assert ledger.pending_alias()
    assert reconcile_alias(ledger, registry) is True
    assert champion(ledger, registry) == "2"
    assert not ledger.pending_alias()
    assert reconcile_alias(ledger, registry) is False


def test_an_alias_moved_by_hand_is_put_right(ledger: Ledger, registry: Registry) -> None:
    assert reconcile_alias(ledger, registry) is False
    assert registry.alias("champion") is None
    promote(ledger, registry, "1", **WHO)
    registry.aliases["champion"] = "9"
    assert reconcile_alias(ledger, registry) is True
    assert champion(ledger, registry) == "1"


def test_a_slow_mover_does_not_leave_the_alias_behind(ledger: Ledger, registry: Registry) -> None:
    def overtake() -> None:
        # Between this move's row and its alias, somebody promotes version 2 and finishes.
        promote(ledger, registry, "2", **WHO)

    registry.before_set = overtake
    promote(ledger, registry, "1", **WHO)
    assert champion(ledger, registry) == "2"
    assert not ledger.pending_alias()


def run_to_verdict(ledger: Ledger, take: Callable[..., Claim], version: str, **facts: Any) -> Claim:
    claim = take()
    facts = {"verdict": "promote", "model_version": version, **facts}
    ledger.advance(claim, "evaluated", evaluation={"accuracy": [0.9]}, **facts)
    return claim


def test_the_gate_promotes_once_whoever_is_first(
    ledger: Ledger, registry: Registry, drop: Callable[..., str], take: Callable[..., Claim]
) -> None:
    drop("a"), drop("b")
    claim = run_to_verdict(ledger, take, "1")
    move = promote_candidate(ledger, registry, claim, reason="all passed")
    assert move is not None
    assert promote_candidate(ledger, registry, claim, reason="again") == ledger.promotions()[0]
    assert ledger.settle(claim).state == "promoted"
    assert (move.kind, move.stream, move.batch_hash, move.verdict) == (
        "gate",
        "s",
        "a" * 64,
        "promote",
    )
    assert move.metrics["accuracy"] == [0.9]
    assert move.actor == claim.run_name
    # Settled without the register stage's promotion: the row is made, the alias is pending.
    second = run_to_verdict(ledger, take, "2")
    assert ledger.settle(second).state == "promoted"
    assert [p.new_version for p in ledger.promotions()] == ["1", "2"]
    assert ledger.pending_alias()
    reconcile_alias(ledger, registry)
    assert champion(ledger, registry) == "2"


def test_a_held_candidate_moves_nothing_but_can_be_promoted_by_hand(
    ledger: Ledger, registry: Registry, drop: Callable[..., str], take: Callable[..., Claim]
) -> None:
    drop("a")
    claim = run_to_verdict(ledger, take, "1", verdict="hold")
    assert promote_candidate(ledger, registry, claim, reason="r") is None
    assert ledger.settle(claim).state == "held"
    assert ledger.promotions() == []
    move = promote(ledger, registry, "1", **WHO)
    assert (move.stream, move.batch_hash, move.verdict) == ("s", "a" * 64, "hold")
    assert ledger.batch("a").state == "held"  # what the gate said stays


def test_a_verdict_against_a_champion_that_moved_is_held(
    ledger: Ledger, registry: Registry, drop: Callable[..., str], take: Callable[..., Claim]
) -> None:
    promote(ledger, registry, "4", **WHO)
    promote(ledger, registry, "5", **WHO)
    drop("a"), drop("b")
    claim = run_to_verdict(ledger, take, "6")
    rollback(ledger, registry, **WHO)
    assert promote_candidate(ledger, registry, claim, reason="r") is None
    outcome = ledger.settle(claim)
    assert (outcome.state, outcome.reason) == ("held", "champion_moved")
    assert "judged against version 5, but version 4" in (outcome.detail or "")
    assert champion(ledger, registry) == "4"
    # What the evaluation says it was judged against counts more than the moment of the claim.
    claim = take()
    promote(ledger, registry, "8", **WHO)
    facts = {"verdict": "promote", "model_version": "9", "champion_version": "8"}
    ledger.advance(claim, "evaluated", **facts)
    assert promote_candidate(ledger, registry, claim, reason="r") is not None


def test_promotion_needs_a_version_and_a_verdict(
    ledger: Ledger, registry: Registry, drop: Callable[..., str], take: Callable[..., Claim]
) -> None:
    drop("a")
    claim = take()
    with pytest.raises(CfcreError, match="no registered version"):
        promote_candidate(ledger, registry, claim, reason="r")
