"""Health and metrics, over a real ledger and Prometheus' own parser."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from quick_world import batch

from cfcre.cli.home import reconcile_step
from cfcre.config import Settings
from cfcre.errors import LedgerUnavailable
from cfcre.intake.store import open_store
from cfcre.operations.ledger import Ledger
from cfcre.operations.owner import current_owner
from cfcre.operations.triggers.health import Pulse, health_app
from cfcre.operations.triggers.http import HttpServer
from cfcre.operations.triggers.metrics import LedgerView, WatchMetrics

Launcher = Any  # the fixture's class, see quick_world.py
NAMES = {  # alert rules use them
    "cfcre_last_reconcile_timestamp_seconds",
    "cfcre_batches",
    "cfcre_oldest_pending_seconds",
    "cfcre_leader",
    "cfcre_trigger_events_total",
    "cfcre_reconcile_errors_total",
    "cfcre_task_running_seconds",
    "cfcre_task_lease_remaining_seconds",
    "cfcre_versions_held_in_a_row",
    "cfcre_average_accuracy",
    "cfcre_forgetting",
    "cfcre_ledger_up",
    "cfcre_champion_version",
}


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Metric name and label values (sorted by label) to value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def claim(ledger: Ledger, stream: str) -> Any:
    return ledger.claim(
        stream, owner=current_owner(), lease_seconds=60, max_attempts=1, max_interruptions=3
    )


def record(ledger: Ledger, stream: str, name: str) -> None:
    digest = f"{stream}{name}".encode().hex().ljust(64, "0")
    ledger.record_batch(stream, digest, name=name, keys=[f"inbox/{stream}/{name}"])


@pytest.fixture
def view(ledger: Ledger) -> LedgerView:
    return LedgerView(ledger, keep_seconds=-1.0)


def test_every_metric_with_its_value(ledger: Ledger, view: LedgerView) -> None:
    for name in "abcde":
        record(ledger, "s", name)
    for number, verdict in enumerate(["promote", "hold", "hold"], start=1):
        run = claim(ledger, "s")
        ledger.advance(
            run,
            "evaluated",
            verdict=verdict,
            model_version=str(number),
            evaluation={"average_accuracy": 0.9, "forgetting": 0.05 * number},
        )
        ledger.promote_candidate(run, reason="gate")
        ledger.settle(run)
    failing = claim(ledger, "s")
    ledger.record_error(failing, "train_task", "bad", True)
    ledger.settle(failing)
    record(ledger, "t", "x")
    claim(ledger, "t")
    metrics = WatchMetrics(view, lambda: True)
    metrics.expect("sqs"), metrics.expect("webhook")
    metrics.event("sqs", "recorded", 3)
    metrics.event("webhook", "unauthorized")
    metrics.error(2)
    metrics.reconciled()
    found = samples(metrics.text())

    assert {name for name, *_ in found} >= NAMES
    assert found["cfcre_leader",] == found["cfcre_ledger_up",] == 1
    assert found["cfcre_reconcile_errors_total",] == 2
    assert found["cfcre_trigger_events_total", "recorded", "sqs"] == 3
    assert found["cfcre_trigger_events_total", "unauthorized", "webhook"] == 1
    assert found["cfcre_trigger_events_total", "error", "sqs"] == 0
    states = {key[1]: value for key, value in found.items() if key[0::2] == ("cfcre_batches", "s")}
    assert {k: v for k, v in states.items() if v} == {
        "promoted": 1, "held": 2, "failed": 1, "seen": 1,
    }  # fmt: skip
    assert states["rejected"] == 0  # a series that is there from the start can be alerted on
    assert found["cfcre_versions_held_in_a_row", "s"] == 2
    assert found["cfcre_versions_held_in_a_row", "t"] == 0
    assert found["cfcre_average_accuracy", "s"] == 0.9
    assert found["cfcre_forgetting", "s"] == pytest.approx(0.15)
    assert ("cfcre_average_accuracy", "t") not in found  # nothing learned, so no figure
    assert found["cfcre_champion_version",] == 1
    assert 0 <= found["cfcre_oldest_pending_seconds", "s"] < 300
    assert found["cfcre_oldest_pending_seconds", "t"] == 0
    assert 0 <= found["cfcre_task_running_seconds", "t"] < 300
    assert 0 < found["cfcre_task_lease_remaining_seconds", "t"] <= 60
    assert ("cfcre_task_running_seconds", "s") not in found


def test_counts_agree_with_the_status(
    ledger: Ledger, view: LedgerView, launcher: Launcher, settings: Settings
) -> None:
    store = open_store(settings)
    for number in range(4):
        store.write(f"inbox/s/{number}.jsonl", batch(number))
    step = reconcile_step(settings, ledger, launcher, None)
    step(frozenset()), step(frozenset())
    found = samples(WatchMetrics(view, lambda: True).text())
    (status,) = ledger.status()["streams"]
    assert found["cfcre_batches", "held", "s"] == len(status["tasks"]) == 2
    assert found["cfcre_batches", "seen", "s"] == len(status["pending"]) == 2
    newest = status["tasks"][-1]
    assert found["cfcre_average_accuracy", "s"] == newest["average_accuracy"] == 0.75
    assert found["cfcre_forgetting", "s"] == newest["forgetting"] == 0.125


def test_a_standby_says_so_and_claims_no_step(view: LedgerView) -> None:
    found = samples(WatchMetrics(view, lambda: False).text())
    assert found["cfcre_leader",] == 0
    assert ("cfcre_last_reconcile_timestamp_seconds",) not in found


class Away:
    """A ledger that does not answer."""

    def overview(self) -> Any:
        raise LedgerUnavailable("away")


class Hanging:
    """A ledger that never answers."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.asked = 0

    def overview(self) -> Any:
        self.asked += 1
        self.end.wait(60)
        return []

    def champion(self) -> None:
        return None


def test_a_ledger_that_is_away_is_said(view: LedgerView) -> None:
    away: Any = Away()
    metrics = WatchMetrics(LedgerView(away), lambda: True)
    metrics.error()
    found = samples(metrics.text())
    assert found["cfcre_ledger_up",] == 0 and found["cfcre_reconcile_errors_total",] == 1
    assert not [key for key in found if key[0] == "cfcre_batches"]


def test_a_ledger_that_hangs_holds_no_probe_up() -> None:
    hanging: Any = Hanging()
    view = LedgerView(hanging, wait_seconds=0.1)
    assert [view.get().streams for _ in range(5)] == [None] * 5
    assert hanging.asked == 1  # the probes do not pile up on it
    hanging.end.set()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestPulse:
    def test_a_loop_that_stands_still_is_dead(self, view: LedgerView) -> None:
        clock = Clock()
        pulse = Pulse(60, 10, clock=clock)
        clock.now = 59
        assert pulse.problem(view) is None
        clock.now = 61
        assert "61 s" in str(pulse.problem(view))
        pulse.turn()
        assert pulse.problem(view) is None

    def test_a_run_may_take_hours_while_its_lease_is_kept(
        self, view: LedgerView, ledger: Ledger
    ) -> None:
        clock = Clock()
        pulse = Pulse(60, 10, clock=clock)
        record(ledger, "s", "a")
        with pulse.launching("s"):
            clock.now = 9
            assert pulse.problem(view) is None
            clock.now = 11  # nothing runs, and starting it takes too long
            assert "starting a run" in str(pulse.problem(view))
            run = claim(ledger, "s")
            clock.now = 36_000
            assert pulse.problem(view) is None
            ledger.renew(run, -1.0)
            assert "lease" in str(pulse.problem(view))
        assert pulse.problem(view) is None

    def test_a_ledger_that_is_away_is_no_reason_to_restart(self) -> None:
        clock = Clock()
        pulse = Pulse(60, 10, clock=clock)
        away: Any = Away()
        with pulse.launching("s"):
            clock.now = 36_000
            assert pulse.problem(LedgerView(away)) is None


@pytest.mark.server
def test_over_http(ledger: Ledger, view: LedgerView) -> None:
    clock = Clock()
    pulse = Pulse(60, 10, clock=clock)
    away: Any = Away()
    app: Callable[..., Any] = health_app(pulse, WatchMetrics(view, lambda: True), view)
    server = HttpServer(app, 0, name="health", deadline_seconds=10, max_connections=5)
    server.start()

    def get(path: str) -> tuple[int, bytes, str]:
        try:
            with urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=20) as answer:
                return answer.status, answer.read(), answer.headers["Content-Type"]
        except HTTPError as error:
            return error.code, error.read(), ""

    try:
        assert get("/healthz")[0] == 200
        assert get("/readyz")[0] == 503  # the loop has not begun
        pulse.turn()
        assert get("/readyz")[0] == 200
        clock.now = 100
        status, body, _ = get("/healthz")
        assert status == 503 and "did not turn over" in json.loads(body)["problem"]
        view._ledger = away
        assert get("/readyz")[0] == 503
        status, body, kind = get("/metrics")
        assert status == 200 and kind.startswith("text/plain; version=")
        assert b"cfcre_ledger_up 0.0" in body
        assert get("/other")[0] == 404
    finally:
        server.stop()
