"""Concurrent requests joined into one forward pass.

Rows are tokenised in the thread of their request, so that a bad row fails its own request only.
One thread runs the encoder over whatever waits. It does not wait for company when nobody else is
on the way; otherwise it waits at most a window of milliseconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cfcre.data.tokenisation import EncodedExamples
from cfcre.tracking.scoring import ScoringFailure

__all__ = ["MicroBatcher", "Ticket"]

_log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]
Forward = Callable[[EncodedExamples], Array]


class Ticket:
    """A request that was admitted and may bring rows.

    Args:
        batcher: Of the version that will answer the request.
        deadline: ``time.monotonic()`` after which nobody waits for the answer.
    """

    def __init__(self, batcher: MicroBatcher, deadline: float) -> None:
        self._batcher = batcher
        self.deadline = deadline
        #: Rows of which the encoder read a window only, for the answer to say so.
        self.windowed = 0
        self._coming = True
        batcher.announce(1)

    def arrived(self) -> None:
        """The rows are there, or will not come; doing it again changes nothing."""
        if self._coming:
            self._coming = False
            self._batcher.announce(-1)


class _Waiting:
    """Rows of one request in the queue."""

    def __init__(self, encoded: EncodedExamples) -> None:
        self.encoded = encoded
        self.done = threading.Event()
        self.abandoned = False
        self.result: Array | None = None


class MicroBatcher:
    """Runs one forward pass at a time over the rows of as many requests as wait.

    Args:
        forward: Representations of packed rows; called from one thread.
        max_rows: Rows of joined requests in a pass; a larger request runs by itself.
        max_queued_rows: Rows that may wait; more are refused.
        window_seconds: Longest wait for requests that were announced.
        on_batch: Told the rows of each pass.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        max_rows: int,
        max_queued_rows: int,
        window_seconds: float,
        on_batch: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._forward = forward
        self._max_rows = max_rows
        self._max_queued_rows = max_queued_rows
        self._window = window_seconds
        self._on_batch = on_batch
        self._condition = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._running: list[_Waiting] = []
        self._queued_rows = 0
        self._coming = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="cfcre-batcher", daemon=True)
        self._thread.start()

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a pass."""
        return self._queued_rows

    def announce(self, change: int) -> None:
        """Count requests that are on the way; see :class:`Ticket`."""
        with self._condition:
            self._coming += change
            self._condition.notify_all()

    def run(self, encoded: EncodedExamples, ticket: Ticket) -> Array:
        """Representations of a request's rows; waits for them.

        Raises:
            ScoringFailure: 503 the queue is full, 504 the deadline passed, 500 the pass failed.
        """
        item = _Waiting(encoded)
        with self._condition:
            ticket.arrived()
            if self._closed or self._queued_rows + len(encoded) > max(
                self._max_queued_rows, len(encoded)
            ):
                raise ScoringFailure(
                    503,
                    "TEMPORARILY_UNAVAILABLE",
                    f"{self._queued_rows} rows wait already (serving.max_queued_rows is "
                    f"{self._max_queued_rows}); try again",
                    retry_after=1,
                )
            self._queue.append(item)
            self._queued_rows += len(encoded)
            self._condition.notify_all()
        if not item.done.wait(max(0.0, ticket.deadline - time.monotonic())):
            item.abandoned = True
            raise ScoringFailure(
                504,
                "DEADLINE_EXCEEDED",
                "the request was not answered in time (serving.request_timeout_seconds); "
                "send fewer rows, or try again",
            )
        if item.result is None:
            raise ScoringFailure(
                500, "INTERNAL_ERROR", "the model failed; the server's log says why"
            )
        return item.result

    def close(self) -> None:
        """Run what is queued, accept nothing more, and end the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._thread.join()

    def abandon(self) -> None:
        """Fail whatever waits, queued or in the pass that runs; the process ends."""
        with self._condition:
            self._closed = True
            for item in (*self._queue, *self._running):
                item.done.set()
            self._queue.clear()
            self._condition.notify_all()

    def _run(self) -> None:
        while batch := self._next():
            if len(batch) > 1 and self._pass(batch, alone=False):
                continue
            # One by one, so that rows which break a pass fail their own request only.
            for item in batch:
                self._pass([item], alone=True)

    def _next(self) -> list[_Waiting]:
        """What the next pass reads; empty when closed and nothing is left."""
        with self._condition:
            while True:
                while not self._queue and not self._closed:
                    self._condition.wait()
                end = time.monotonic() + self._window
                while self._coming and self._queued_rows < self._max_rows and not self._closed:
                    left = end - time.monotonic()
                    if left <= 0 or not self._condition.wait(left):
                        break
                batch = self._take()
                if batch or (self._closed and not self._queue):
                    self._running = batch
                    return batch

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        while self._queue:
            size = len(self._queue[0].encoded)
            if batch and rows + size > self._max_rows:
                break
            item = self._queue.popleft()
            self._queued_rows -= size
            if not item.abandoned:
                batch.append(item)
                rows += size
        return batch

    def _pass(self, batch: list[_Waiting], *, alone: bool) -> bool:
        encoded = EncodedExamples.joined([item.encoded for item in batch])
        try:
            result = self._forward(encoded)
        except Exception as error:
            # The rows themselves are never logged.
            _log.error("a pass over %d rows failed: %s", len(encoded), type(error).__name__)
            if alone:
                batch[0].done.set()
            return False
        self._on_batch(len(encoded))
        start = 0
        for item in batch:
            stop = start + len(item.encoded)
            item.result = result[start:stop]
            start = stop
            item.done.set()
        return True
