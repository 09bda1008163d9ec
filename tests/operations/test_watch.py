"""The loop around the reconcile step; waiting moves a fake clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cfcre.errors import CfcreError, LeadershipLost, StoreUnavailable, TrackingUnavailable
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.reconciler import ReconcileReport
from cfcre.operations.watch import Hooks, watch

World = Any  # the fixtures' classes, see conftest.py
MakeStop = Callable[..., Any]


def test_watch_until_idle_waits_for_pauses_but_not_for_gaps(
    world: World, make_stop: MakeStop
) -> None:
    world.drop("s/a", "one"), world.drop("s/b", "two"), world.drop("t/a", "three")
    world.sequences["three"] = 3
    world.ends["one"] = ["error", "learn"]
    stop = make_stop()
    reports: list[ReconcileReport] = []
    last = watch(world.step, mode="until_idle", stop=stop, on_report=reports.append)
    assert world.learned == [("s", "one"), ("s", "two")]
    assert 2.0 <= sum(stop.waits) <= 3.0  # the pause of 2 s, in short sleeps
    assert last is reports[-1] and last.idle
    assert {a.stream: a.waiting for a in last.activity} == {"s": 0, "t": 1}


def test_watch_until_idle_waits_for_a_run_of_another_process(
    world: World, ledger: Ledger, take: Callable[..., Claim], make_stop: MakeStop
) -> None:
    digest = world.drop("s/a", "one")
    ledger.record_batch("s", digest, name="a", keys=["inbox/s/a"])
    take(lease_seconds=5.0)  # it will never come back
    stop = make_stop()
    watch(world.step, mode="until_idle", stop=stop)
    assert world.learned == [("s", "one")]
    assert 5.0 <= sum(stop.waits) <= 6.0


def test_watch_until_idle_gives_a_broken_stream_up_after_the_others_are_done(
    world: World, make_stop: MakeStop
) -> None:
    world.drop("s/a", "one"), world.drop("t/a", "two"), world.drop("t/b", "three")
    world.broken_streams.add("s")
    stop = make_stop()
    with pytest.raises(CfcreError, match="stream 's': no such interpreter"):
        watch(world.step, mode="until_idle", stop=stop)
    assert world.learned == [("t", "two"), ("t", "three")]
    assert len(stop.waits) <= 3  # it ended by itself
    assert world.states()["a"] in ("seen", "promoted")


def test_watch_once_takes_one_step_and_raises_its_trouble(
    world: World, make_stop: MakeStop
) -> None:
    world.drop("s/a", "one"), world.drop("s/b", "two")
    watch(world.step, mode="once", stop=make_stop())
    assert world.learned == [("s", "one")]
    world.broken_streams.add("s")
    with pytest.raises(CfcreError):
        watch(world.step, mode="once", stop=make_stop())


def test_watch_interval_survives_a_store_that_is_away(world: World, make_stop: MakeStop) -> None:
    calls: list[int] = []

    def step(skip: frozenset[str]) -> ReconcileReport:
        calls.append(1)
        if len(calls) == 1:
            raise StoreUnavailable("away")
        return world.step(skip)

    world.drop("s/a", "one")
    stop = make_stop(4)
    watch(step, mode="interval", stop=stop, interval_seconds=30)
    assert world.learned == [("s", "one")]
    assert stop.waits == [30, 30, 30, 30]
    calls.clear()
    with pytest.raises(StoreUnavailable):
        watch(step, mode="until_idle", stop=make_stop())


def test_watch_keeps_the_kind_of_a_launch_error(world: World, make_stop: MakeStop) -> None:
    world.drop("s/a", "one")

    def launch(stream: str, batch_hash: str) -> None:
        raise TrackingUnavailable("away")

    world.launch = launch
    with pytest.raises(TrackingUnavailable):
        watch(world.step, mode="until_idle", stop=make_stop())


def test_a_stop_before_the_first_step_does_nothing(world: World) -> None:
    stop = threading.Event()
    stop.set()
    world.drop("s/a", "one")
    assert watch(world.step, mode="interval", stop=stop) is None
    assert world.learned == []


class AskingLauncher:
    """Returns at once, as one does that asks a cluster for a run."""

    poll_seconds = 15.0

    def __init__(self, world: World, claims_at: int) -> None:
        self.world, self.claims_at = world, claims_at
        self.real = world.launch
        self.asked: list[float] = []
        world.launcher = self

    def launch(self, stream: str, batch_hash: str) -> bool:
        self.asked.append(self.world.ledger.now().timestamp())
        return len(self.asked) == 1

    def has_ended(self, run: str) -> bool:
        return False

    def wait(self, count: int) -> None:
        if count == self.claims_at:  # the run has started, somewhere else
            (activity,) = self.world.ledger.activity()
            self.real(activity.stream, activity.claimable)


def test_a_run_that_was_asked_for_is_not_asked_for_in_a_loop(
    world: World, make_stop: MakeStop, clock: Any
) -> None:
    digest = world.drop("s/a", "one")
    launcher = AskingLauncher(world, claims_at=4)
    stop = make_stop(100)
    wait = stop.wait

    def waited(timeout: float | None = None) -> bool:
        launcher.wait(len(stop.waits) + 1)
        return wait(timeout)

    stop.wait = waited
    last = watch(world.step, mode="until_idle", stop=stop)
    assert last is not None and last.idle and world.learned == [("s", "one")]
    pauses = [b - a for a, b in zip(launcher.asked, launcher.asked[1:], strict=False)]
    assert pauses == [0.0, 15.0, 15.0, 15.0]  # at once it learns that the run is on its way
    assert digest not in str(world.ledger.activity())


def test_an_interval_waits_for_what_is_due_first(
    world: World, make_stop: MakeStop, clock: Any
) -> None:
    world.drop("s/a", "one")
    AskingLauncher(world, claims_at=-1)
    stop = make_stop(2)
    watch(world.step, mode="interval", stop=stop, interval_seconds=30)
    assert stop.waits == [15.0, 15.0]
    stop = make_stop(2)
    watch(world.step, mode="interval", stop=stop, interval_seconds=10)
    assert stop.waits == [10, 10]  # never less often than was asked for


def test_a_run_elsewhere_is_not_polled_for(
    world: World, ledger: Ledger, take: Callable[..., Claim], make_stop: MakeStop
) -> None:
    digest = world.drop("s/a", "one")
    ledger.record_batch("s", digest, name="a", keys=["inbox/s/a"])
    take(lease_seconds=10_000)
    stop = make_stop(3)
    watch(world.step, mode="interval", stop=stop, interval_seconds=30)
    assert stop.waits == [30, 30, 30]


def test_a_standby_waits_and_takes_no_step(world: World, make_stop: MakeStop) -> None:
    world.drop("s/a", "one")
    stop, turns = make_stop(4), []
    hooks = Hooks(
        leading=lambda: len(turns) > 2, wake=StopSignal(stop), on_turn=lambda: turns.append(1)
    )
    watch(world.step, mode="interval", stop=stop, interval_seconds=30, hooks=hooks)
    assert stop.waits == [5, 5, 30, 30]
    assert world.learned == [("s", "one")] and len(turns) > 2


class StopSignal:
    """Waits on the fake stop, counts how often it was taken back."""

    def __init__(self, stop: Any) -> None:
        self.stop, self.wait = stop, stop.wait
        self.cleared = 0

    def clear(self) -> None:
        self.cleared += 1


def test_who_loses_the_lease_in_a_step_starts_nothing_more(
    world: World, make_stop: MakeStop
) -> None:
    world.drop("s/a", "one"), world.drop("t/a", "two")
    leads = [True]

    def check() -> None:
        if not leads[0]:
            raise LeadershipLost("lost")

    real = world.launch

    def launch(stream: str, batch_hash: str) -> None:
        real(stream, batch_hash)
        leads[0] = False  # while the first run goes on

    world.launch = launch
    stop = make_stop(3)
    watch(
        lambda skip: world.step(skip, check=check),
        mode="interval",
        stop=stop,
        hooks=Hooks(leading=lambda: leads[0]),
    )
    assert world.learned == [("s", "one")]
    assert world.store.objects.keys() == {"inbox/s/a", "inbox/t/a"}  # moving is the new leader's
    leads[0] = True
    watch(world.step, mode="until_idle", stop=make_stop())
    assert world.learned == [("s", "one"), ("t", "two")]
    assert not [key for key in world.store.objects if key.startswith("inbox/")]


def test_failures_are_counted(world: World, make_stop: MakeStop) -> None:
    world.drop("s/a", "one"), world.drop("t/a", "two")
    world.broken_streams.add("s")
    errors: list[int] = []
    done: list[int] = []
    calls: list[int] = []

    def step(skip: frozenset[str]) -> ReconcileReport:
        calls.append(1)
        if len(calls) == 1:
            raise StoreUnavailable("away")
        return world.step(skip)

    hooks = Hooks(on_error=errors.append, on_done=lambda: done.append(1))
    watch(step, mode="interval", stop=make_stop(3), hooks=hooks)
    assert sum(errors) == 1 + 3 and len(done) == 3
