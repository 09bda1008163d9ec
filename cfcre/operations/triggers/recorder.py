"""Recording what events speak of, beside whatever else the watcher does.

On one machine the watcher itself is busy while a task is learned, for minutes or hours. An event is
answered for when the ledger has the batch, not when it is learned; so one thread does nothing but
record. Requests that arrive while it works are answered together by one further look.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

from cfcre.errors import CfcreError, StoreUnavailable
from cfcre.intake.events.notifications import Look

__all__ = ["Record", "Recorder"]

log = logging.getLogger(__name__)

Record = Callable[[Look], int]
"""Records what lies in a part of the inbox; returns how many batches were new."""


class Recorder:
    """Answers requests to look at a part of the inbox.

    Args:
        record: Takes one look.
        on_recorded: Called after each look that succeeded.
    """

    def __init__(self, record: Record, *, on_recorded: Callable[[], None] = lambda: None) -> None:
        self._record = record
        self._on_recorded = on_recorded
        self._lock = threading.Condition()
        self._look = Look()
        self._waiting: list[Future[int]] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cfcre-recorder", daemon=True)

    def start(self) -> None:
        """Begin to answer requests."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Answer nothing more; a look under way may be cut off, which does no harm."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def request(self, look: Look) -> Future[int]:
        """Ask for a look that begins from now on.

        Returns:
            A future that holds the number of new batches of the look that answered it (and others),
            or the error that look ended with. It may be cancelled; the look is taken all the same.
        """
        future: Future[int] = Future()
        with self._lock:
            if self._stopped:
                future.set_exception(StoreUnavailable("this watcher is stopping; try again"))
                return future
            self._look |= look
            self._waiting.append(future)
            self._lock.notify_all()
        return future

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and not self._stopped:
                    self._lock.wait()
                look, self._look = self._look, Look()
                waiting, self._waiting = self._waiting, []
                stopped = self._stopped
            if stopped:
                _answer(waiting, error=StoreUnavailable("this watcher is stopping; try again"))
                return
            try:
                new = self._record(look)
            except Exception as error:
                if not isinstance(error, CfcreError):
                    log.exception("an event could not be recorded")
                _answer(waiting, error=error)
            else:
                self._on_recorded()
                _answer(waiting, new)


def _answer(waiting: list[Future[int]], new: int = 0, error: Exception | None = None) -> None:
    for future in waiting:
        try:
            if error is None:
                future.set_result(new)
            else:
                future.set_exception(error)
        except InvalidStateError:
            continue  # whoever asked has given up waiting
