"""The watcher's metrics, in Prometheus' names.

Two kinds. What this process did (events, errors, its last step, whether it leads) is its own. What
the ledger knows (batches, running tasks, figures of models) is read when Prometheus asks, and is
therefore the same from every watcher over one ledger: take the maximum over them, not the sum.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cfcre.errors import CfcreError
from cfcre.operations.ledger import Ledger
from cfcre.operations.ledger.overview import StreamOverview
from cfcre.operations.ledger.tables import STATES

__all__ = ["CONTENT_TYPE", "LedgerView", "WatchMetrics"]

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_LATEST

_OUTCOMES = {
    "sqs": ("recorded", "test", "ignored", "not_understood", "error"),
    "webhook": (
        "recorded",
        "test",
        "ignored",
        "repeated",
        "unauthorized",
        "not_understood",
        "too_large",
        "too_slow",
        "broken_off",
        "unavailable",
    ),
}
# When a counter was made is of no use here, and doubles the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class View:
    """What the ledger said.

    Attributes:
        streams: None when it did not answer.
        champion: The model version that serves.
        at: Unix time of the look.
    """

    streams: list[StreamOverview] | None
    champion: str | None
    at: float


class LedgerView:
    """Reads the ledger for probes and metrics, however many ask, once in a few seconds.

    Args:
        ledger: The ledger.
        keep_seconds: An answer is given again for so long.
        wait_seconds: A ledger that takes longer did not answer: a probe has not much time.
    """

    def __init__(
        self, ledger: Ledger, keep_seconds: float = 3.0, wait_seconds: float = 2.0
    ) -> None:
        self._ledger = ledger
        self._keep = keep_seconds
        self._wait = wait_seconds
        self._lock = threading.Lock()
        self._look: Future[View] | None = None

    def get(self) -> View:
        """What the ledger says, at most a few seconds old."""
        with self._lock:
            look = self._look
            if look is None or (look.done() and time.time() - look.result().at > self._keep):
                look = self._look = Future()
                threading.Thread(
                    target=self._read, args=(look,), name="cfcre-view", daemon=True
                ).start()
        try:
            return look.result(timeout=self._wait)
        except TimeoutError:
            return View(None, None, time.time())

    def _read(self, look: Future[View]) -> None:
        view = View(None, None, time.time())
        try:
            view = View(self._ledger.overview(), self._ledger.champion(), time.time())
        except CfcreError as error:
            log.warning("metrics: %s", error)
        except Exception:
            log.exception("metrics: the ledger could not be read")
        look.set_result(view)


class WatchMetrics:
    """Everything that ``/metrics`` shows.

    Args:
        view: What the ledger says.
        leading: Whether this process leads.
    """

    def __init__(self, view: LedgerView, leading: Callable[[], bool]) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter(
            "cfcre_trigger_events",
            "Events received, by the way they came and what became of them.",
            ["source", "outcome"],
            registry=self._registry,
        )
        self._errors = Counter(
            "cfcre_reconcile_errors",
            "Reconcile steps that failed, and runs that could not be started.",
            registry=self._registry,
        )
        self._reconciled: float | None = None
        self._leading = leading
        self._registry.register(_State(self, view))

    def expect(self, source: str) -> None:
        """Show every outcome of a source from the start: a rate needs a value before the first."""
        for outcome in _OUTCOMES[source]:
            self._events.labels(source, outcome)

    def event(self, source: str, outcome: str, count: int = 1) -> None:
        """Count events."""
        if count:
            self._events.labels(source, outcome).inc(count)

    def error(self, count: int = 1) -> None:
        """Count failures of reconciling."""
        self._errors.inc(count)

    def reconciled(self) -> None:
        """A reconcile step has succeeded just now."""
        self._reconciled = time.time()

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def own(self) -> Iterator[Metric]:
        """Gauges of this process."""
        try:
            leads = self._leading()
        except Exception:
            leads = False  # the loop ends with that error
        yield _gauge(
            "cfcre_leader", "1 while this watcher acts, 0 while it stands by.", float(leads)
        )
        if self._reconciled is not None:
            yield _gauge(
                "cfcre_last_reconcile_timestamp_seconds",
                "Unix time of this watcher's last reconcile step that succeeded.",
                self._reconciled,
            )


class _State(Collector):
    def __init__(self, metrics: WatchMetrics, view: LedgerView) -> None:
        self._metrics = metrics
        self._view = view

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.own()
        view = self._view.get()
        up = view.streams is not None
        yield _gauge("cfcre_ledger_up", "1 when the ledger answered just now.", float(up))
        if view.streams is None:
            return
        if view.champion is not None and view.champion.isdecimal():
            yield _gauge(
                "cfcre_champion_version",
                "Version of the registered model that serves.",
                float(view.champion),
            )
        yield from _streams(view.streams, view.at)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _streams(streams: list[StreamOverview], now: float) -> Iterator[Metric]:
    batches = GaugeMetricFamily(
        "cfcre_batches",
        "Batches by state; seen: waiting, failed: poison.",
        labels=["stream", "state"],
    )
    for stream in streams:
        for state in STATES:
            batches.add_metric([stream.stream, state], stream.states.get(state, 0))
    yield batches
    yield _by_stream(
        "cfcre_oldest_pending_seconds",
        "Age of the oldest batch that waits, whatever for; 0 when none does.",
        streams,
        lambda s: max(0.0, now - s.oldest_pending.timestamp()) if s.oldest_pending else 0.0,
    )
    yield _by_stream(
        "cfcre_task_running_seconds",
        "Time since the running task was claimed; absent while none runs.",
        streams,
        lambda s: max(0.0, now - s.claimed_at.timestamp()) if s.claimed_at else None,
    )
    yield _by_stream(
        "cfcre_task_lease_remaining_seconds",
        "Time until the running task's lease ends, negative after that; absent while none runs.",
        streams,
        lambda s: s.leased_until.timestamp() - now if s.leased_until else None,
    )
    yield _by_stream(
        "cfcre_versions_held_in_a_row",
        "Versions that the gate held back since the last one it promoted.",
        streams,
        lambda s: float(s.held_in_a_row),
    )
    yield _by_stream(
        "cfcre_average_accuracy",
        "Average accuracy over all tasks so far, after the newest learned task; 0 to 1.",
        streams,
        lambda s: s.average_accuracy,
    )
    yield _by_stream(
        "cfcre_forgetting",
        "Mean forgetting after the newest learned task.",
        streams,
        lambda s: s.forgetting,
    )


def _by_stream(
    name: str,
    about: str,
    streams: list[StreamOverview],
    value: Callable[[StreamOverview], float | None],
) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["stream"])
    for stream in streams:
        found = value(stream)
        if found is not None:
            family.add_metric([stream.stream], found)
    return family
