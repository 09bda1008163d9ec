"""The leader lease, on a clock that the tests set."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cfcre.errors import ConfigurationError, LeadershipLost, LedgerUnavailable
from cfcre.operations.ledger import Ledger
from cfcre.operations.triggers.leader import Elector, holder_name


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """Grants what the test says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.grants: bool | Exception = True
        self.takes = 0.0
        self.released: list[str] = []

    def acquire_leader(self, name: str, holder: str, lease_seconds: float) -> bool:
        self.clock.now += self.takes
        if isinstance(self.grants, Exception):
            raise self.grants
        return self.grants

    def release_leader(self, name: str, holder: str) -> None:
        self.released.append(holder)

    def leader(self, name: str) -> Any:
        return None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(clock: Clock) -> Leases:
    return Leases(clock)


@pytest.fixture
def changes() -> list[int]:
    return []


@pytest.fixture
def elector(leases: Leases, clock: Clock, changes: list[int]) -> Elector:
    return Elector(leases, "w", "me", 30.0, on_change=lambda: changes.append(1), clock=clock)


def test_it_leads_while_the_lease_is_renewed(
    elector: Elector, clock: Clock, changes: list[int]
) -> None:
    assert not elector.leading()
    elector.attempt()
    assert elector.leading() and changes == [1]
    for _ in range(10):
        clock.now += 20
        assert elector.leading()
        elector.attempt()
    assert changes == [1]


def test_it_gives_itself_up_before_the_lease_ends_when_the_ledger_is_away(
    elector: Elector, leases: Leases, clock: Clock, changes: list[int]
) -> None:
    elector.attempt()
    leases.grants = LedgerUnavailable("away")
    clock.now += 23.9
    elector.attempt()
    assert elector.leading()  # the ledger may be back in time
    clock.now += 0.2  # nobody had to tell it
    assert not elector.leading()
    with pytest.raises(LeadershipLost):
        elector.check()
    elector.attempt()
    assert changes == [1, 1]


def test_the_lease_counts_from_before_the_question(
    elector: Elector, leases: Leases, clock: Clock
) -> None:
    leases.takes = 25.0  # an answer that was under way for so long
    elector.attempt()
    assert not elector.leading()


def test_it_stops_when_another_one_leads(elector: Elector, leases: Leases) -> None:
    elector.attempt()
    leases.grants = False
    elector.attempt()
    assert not elector.leading()


def test_a_lease_that_can_not_be_kept_is_said_and_not_retried(
    elector: Elector, leases: Leases
) -> None:
    leases.grants = ConfigurationError("no such table")
    elector.attempt()
    with pytest.raises(ConfigurationError):
        elector.leading()


def test_stopping_releases_the_lease(elector: Elector, leases: Leases) -> None:
    elector.start()
    elector.stop()
    assert leases.released == ["me"] and not elector.leading()


def test_stopping_survives_a_ledger_that_is_away(
    elector: Elector, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, holder: str) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(leases, "release_leader", fail)
    elector.start()
    elector.stop()
    assert not elector.leading()


def test_of_two_that_run_one_leads_and_hands_over(ledger: Ledger) -> None:
    """Over the ledger, in real time."""
    changed = threading.Event()
    one = Elector(ledger, "w", "one", 60.0)
    two = Elector(ledger, "w", "two", 3.0, on_change=changed.set)
    one.attempt()
    two.start()
    assert one.leading() and not two.leading()
    assert not changed.wait(1.0)
    one.stop()
    assert changed.wait(30.0) and two.leading() and not one.leading()
    two.stop()
    assert ledger.leader("w") is None


def test_names_of_processes_differ() -> None:
    assert holder_name() != holder_name()
