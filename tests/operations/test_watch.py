"""The loop around the reconcile step; waiting moves a fake clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cfcre.errors import CfcreError, StoreUnavailable, TrackingUnavailable
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.reconciler import ReconcileReport
from cfcre.operations.watch import watch

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
