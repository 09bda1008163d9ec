"""A stage's pulse: renews the lease, and stops the process when its run is no longer the owner.

Two things end a stage from outside. Its launcher may be killed, which leaves the component behind
as an orphan; and its lease may be taken over after a long pause. In both cases going on would at
best waste the machine and at worst touch what a newer run owns, so the process ends at once with
the exit code that says why. ``os._exit`` is meant: a training loop deep in native code can not be
interrupted in any gentler way, and everything a stage writes is written whole or not at all.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

from cfcre.errors import CfcreError, LeaseLost, RetryableError

__all__ = ["Heartbeat"]

log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that runs beside one stage.

    Args:
        renew: Prolongs the lease; raises :class:`LeaseLost` when the token is stale.
        owner_alive: Whether the launching process still runs.
        lease_seconds: Length of the lease; it is renewed three times as often.
        poll_seconds: How often the owner is looked at.
        leave: Ends the process; replaced in tests.
    """

    def __init__(
        self,
        *,
        renew: Callable[[], None],
        owner_alive: Callable[[], bool],
        lease_seconds: float,
        poll_seconds: float = 2.0,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._renew = renew
        self._owner_alive = owner_alive
        self._renew_every = lease_seconds / 3
        self._poll = min(poll_seconds, self._renew_every)
        self._leave = leave
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="cfcre-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join(timeout=30)

    def _beat(self) -> None:
        # Wall clock, as the ledger counts leases: after a suspended night the first look renews.
        renewed = time.time()
        while not self._stopped.wait(self._poll):
            if not self._owner_alive():
                log.error("the process that started this run is gone; stopping")
                self._leave(RetryableError.exit_code)
                return
            if time.time() - renewed < self._renew_every:
                continue
            try:
                self._renew()
                renewed = time.time()
            except LeaseLost as lost:
                log.error("%s", lost)
                self._leave(LeaseLost.exit_code)
                return
            except CfcreError as problem:
                # The database may be away for a moment; the lease lasts for two more tries.
                log.warning("the lease could not be renewed, trying again: %s", problem)
