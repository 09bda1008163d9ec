"""Leader leases: the rules by a clock, then real processes that race, pause and die."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier as BarrierType
from typing import Any

import pytest
from processes import CONTEXT, run_all

from cfcre.errors import ConfigurationError, LedgerUnavailable
from cfcre.operations.ledger import LeaderRecord, Ledger


def race(url: str, number: int, barrier: BarrierType, pipe: Pipe) -> None:
    ledger = Ledger(url, timeout_seconds=120)
    barrier.wait()
    pipe.send(ledger.acquire_leader("watch", f"process-{number}", 600))


def take_turns(url: str, number: int, barrier: BarrierType, pipe: Pipe) -> None:
    """Take, hold, renew, give back or forget the lease; sends when it was certain to lead."""
    ledger, chance, lease = Ledger(url, timeout_seconds=120), random.Random(number), 0.3
    barrier.wait()
    led: list[tuple[float, float]] = []
    end = time.time() + 3
    while time.time() < end:
        asked = time.time()
        if not ledger.acquire_leader("watch", f"process-{number}", lease):
            time.sleep(chance.uniform(0, 0.05))
            continue
        began = time.time()
        time.sleep(chance.uniform(0, 0.1))
        if chance.random() < 0.5:
            stopped = time.time()
            ledger.release_leader("watch", f"process-{number}")
        elif chance.random() < 0.5:
            stopped = asked + lease  # forgets to renew
            time.sleep(max(0.0, stopped - time.time()) + chance.uniform(0, 0.05))
        else:
            stopped = time.time()  # renews at once
        if began < stopped:
            led.append((began, min(stopped, asked + lease)))
    pipe.send(led)


def lead(url: str, number: int, barrier: BarrierType, pipe: Pipe) -> None:
    ledger = Ledger(url, timeout_seconds=120)
    while True:
        # A database that does not answer is asked again, as by the elector: it may have cut the
        # connection of a process that was stopped in the middle of a transaction.
        with contextlib.suppress(LedgerUnavailable):
            pipe.send(ledger.acquire_leader("watch", f"process-{number}", 0.5))
        time.sleep(0.05)


def test_one_leads_until_it_gives_back_or_its_lease_ends(ledger: Ledger, clock: Any) -> None:
    began = clock.now
    assert ledger.leader("watch") is None
    ledger.release_leader("watch", "a")  # nobody leads: nothing happens
    assert ledger.acquire_leader("watch", "a", 10)
    assert not ledger.acquire_leader("watch", "b", 10)
    clock.forward(9)
    assert ledger.acquire_leader("watch", "a", 10)  # renewed
    clock.forward(9)
    found = ledger.leader("watch")
    assert isinstance(found, LeaderRecord)
    assert (found.name, found.holder, found.since) == ("watch", "a", began)
    assert (found.leased_until - clock.now).total_seconds() == 1
    assert not ledger.acquire_leader("watch", "b", 10)
    ledger.release_leader("watch", "b")  # not its own
    assert ledger.leader("watch") == found
    ledger.release_leader("watch", "a")
    assert ledger.leader("watch") is None
    assert ledger.acquire_leader("watch", "b", 10)
    clock.forward(10)
    assert ledger.leader("watch") is None  # run out
    assert ledger.acquire_leader("watch", "c", 10)
    assert not ledger.acquire_leader("watch", "b", 10)


def test_a_lease_that_ran_out_and_was_not_taken_is_renewed(ledger: Ledger, clock: Any) -> None:
    assert ledger.acquire_leader("watch", "a", 10)
    began = clock.now
    clock.forward(60)
    assert ledger.acquire_leader("watch", "a", 10)
    assert not ledger.acquire_leader("watch", "b", 10)
    found = ledger.leader("watch")
    assert found is not None and found.since == began


def test_leases_of_other_names_are_apart(ledger: Ledger) -> None:
    assert ledger.acquire_leader("watch", "a", 10)
    assert ledger.acquire_leader("other", "b", 10)
    assert [ledger.leader(n).holder for n in ("watch", "other")] == ["a", "b"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "holder", "seconds"),
    [
        *(("", "a", 1), ("n" * 129, "a", 1), ("n", "", 1), ("n", "h" * 257, 1)),
        *(("n", "a", 0), ("n", "a", -1), ("n", "a", float("nan"))),
    ],
)
def test_what_no_lease_can_be(ledger: Ledger, name: str, holder: str, seconds: float) -> None:
    with pytest.raises(ConfigurationError):
        ledger.acquire_leader(name, holder, seconds)


def test_one_of_eight_processes_leads(ledger_url: str) -> None:
    assert sorted(run_all(race, ledger_url, 8)) == [False] * 7 + [True]


def test_no_two_processes_ever_lead_together(ledger_url: str) -> None:
    led = run_all(take_turns, ledger_url, 4)
    turns = sorted((began, ended, n) for n, part in enumerate(led) for began, ended in part)
    assert sum(1 for part in led if part) > 1  # the lease did change hands
    for (_, ended, first), (began, _, second) in itertools.pairwise(turns):
        assert first == second or ended <= began


def takes_over(ledger: Ledger) -> bool:
    """One try, as the elector's: a database that does not answer is asked again.

    A process stopped in the middle of its transaction holds the row until the database ends it.
    """
    try:
        return ledger.acquire_leader("watch", "me", 60)
    except LedgerUnavailable:
        return False


@pytest.mark.kill
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_leader_that_is_gone_or_paused_is_replaced(ledger_url: str, end: signal.Signals) -> None:
    ledger = Ledger(ledger_url)
    receiver, sender = CONTEXT.Pipe(duplex=False)
    barrier = CONTEXT.Barrier(1)
    process = CONTEXT.Process(target=lead, args=(ledger_url, 1, barrier, sender))
    process.start()
    sender.close()
    try:
        assert receiver.poll(60) and receiver.recv() is True
        assert not ledger.acquire_leader("watch", "me", 60)
        assert process.pid is not None
        os.kill(process.pid, end)
        waited = time.monotonic() + 60
        while not takes_over(ledger):
            assert time.monotonic() < waited
            time.sleep(0.02)
        if end is signal.SIGSTOP:
            while receiver.poll():
                receiver.recv()
            os.kill(process.pid, signal.SIGCONT)
            # What was under way when it was stopped may still answer; then it is told.
            answers = [receiver.recv() for _ in range(3) if receiver.poll(60)]
            assert answers[-1] is False
            assert ledger.leader("watch").holder == "me"  # type: ignore[union-attr]
    finally:
        process.kill()
        process.join()
