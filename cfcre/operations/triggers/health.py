"""Whether the watcher is alive, whether it is ready, and its metrics, over HTTP.

Alive means that the loop turned over lately. A run on this machine stops the loop for as long as it
takes, which is no fault: then the ledger tells whether the run's lease is kept. A ledger that does
not answer is no reason to restart the watcher, so it makes it unready, not dead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cfcre.operations.triggers.metrics import CONTENT_TYPE, LedgerView, WatchMetrics

__all__ = ["Pulse", "health_app"]


class Pulse:
    """What the loop last did.

    Args:
        stalled_after_seconds: A step may take so long.
        launch_seconds: Starting a run may take so long, unless the run itself goes on.
        clock: Seconds; replaced in tests.
    """

    def __init__(
        self,
        stalled_after_seconds: float,
        launch_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stalled_after = stalled_after_seconds
        self._launch_seconds = launch_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._turned = clock()
        self._launching: tuple[str, float] | None = None
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether the loop has turned over at all."""
        return self._ready

    def turn(self) -> None:
        """The loop turned over."""
        with self._lock:
            self._turned = self._clock()
            self._ready = True

    @contextmanager
    def launching(self, stream: str) -> Iterator[None]:
        """A run is being started, or runs, inside the block."""
        with self._lock:
            self._launching = (stream, self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._launching = None
                self._turned = self._clock()

    def problem(self, view: LedgerView) -> str | None:
        """Why the watcher is to be restarted; None while it is alive."""
        with self._lock:
            launching, turned, now = self._launching, self._turned, self._clock()
        if launching is None:
            idle = now - turned
            if idle > self._stalled_after:
                return f"the loop did not turn over for {idle:.0f} s"
            return None
        stream, since = launching
        if now - since <= self._launch_seconds:
            return None
        seen = view.get()
        if seen.streams is None:
            return None
        for found in seen.streams:
            if found.stream == stream and found.leased_until is not None:
                if found.leased_until.timestamp() > seen.at:
                    return None
                return f"the lease of the run of stream {stream} is not kept"
        return f"starting a run of stream {stream} takes {now - since:.0f} s and nothing runs"


def health_app(pulse: Pulse, metrics: WatchMetrics, view: LedgerView) -> Starlette:
    """``/healthz``, ``/readyz`` and ``/metrics``.

    Args:
        pulse: What the loop last did.
        metrics: The metrics.
        view: What the ledger says.
    """

    # Plain functions: starlette calls them in threads, because they may wait for the ledger.
    def healthz(request: Request) -> Response:
        problem = pulse.problem(view)
        return _answer(problem)

    def readyz(request: Request) -> Response:
        if not pulse.ready:
            return _answer("starting")
        return _answer(None if view.get().streams is not None else "the ledger does not answer")

    def show(request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show)]
    )


def _answer(problem: str | None) -> Response:
    if problem is None:
        return JSONResponse({"status": "ok"})
    return JSONResponse({"status": "unavailable", "problem": problem}, status_code=503)
