"""Which of several watchers acts: the one that holds the leader lease in the ledger.

The lease keeps two watchers from doing the same work; it is not what keeps the data right. A pause
of any length between looking at the lease and acting can not be ruled out, so everything a watcher
does is idempotent or guarded by the claim's own fencing token.

A leader counts its lease from the moment before it asked, by a clock that goes on while the machine
sleeps, and gives itself up after four fifths of it. So it stops before another one starts, also
when it can not reach the ledger any more.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Protocol

from cfcre.errors import CfcreError, LeadershipLost, RetryableError

__all__ = ["Elector", "LeaderLedger", "holder_name"]

log = logging.getLogger(__name__)

_OWN_SHARE = 0.8
_RENEWALS = 3
_STANDBY_LOOKS = 6


class LeaderLedger(Protocol):
    """The part of the ledger that is needed, see :class:`cfcre.operations.ledger.Ledger`."""

    def acquire_leader(self, name: str, holder: str, lease_seconds: float) -> bool:
        """Take or renew the lease; True while ``holder`` has it."""
        ...

    def release_leader(self, name: str, holder: str) -> None:
        """End the lease if ``holder`` has it."""
        ...


def holder_name() -> str:
    """Names this process: host, number, and a part that a restarted container does not repeat."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _clock() -> float:
    """Seconds that go on while the machine is suspended, where the system can count them."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class Elector:
    """Takes the leader lease and keeps it, in a thread of its own.

    The thread renews it whatever the watcher does meanwhile, a run of hours on this machine
    included.

    Args:
        ledger: Keeps the lease.
        name: Name of the lease.
        holder: Names this process.
        lease_seconds: Another one takes over when nothing was heard for so long.
        on_change: Called, from the thread, when this process begins or ceases to lead.
        clock: Seconds; replaced in tests.
    """

    def __init__(
        self,
        ledger: LeaderLedger,
        name: str,
        holder: str,
        lease_seconds: float,
        *,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = _clock,
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._holder = holder
        self._lease = lease_seconds
        self._on_change = on_change
        self._clock = clock
        self._until = float("-inf")
        self._led = False
        self._fault: Exception | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cfcre-leader", daemon=True)

    @property
    def holder(self) -> str:
        """Name under which the lease is taken."""
        return self._holder

    def start(self) -> None:
        """Begin to try for the lease."""
        self._thread.start()

    def stop(self) -> None:
        """Cease to lead, and release the lease so that a standby need not wait for its end."""
        self._stopped.set()
        self._until = float("-inf")
        if self._thread.ident is not None:
            # A renewal under way would take the lease again after it was released.
            self._thread.join(timeout=self._lease)
        if self._thread.is_alive():
            log.warning("the ledger does not answer; the leader lease ends by itself")
            return
        try:
            self._ledger.release_leader(self._name, self._holder)
        except CfcreError as error:
            log.warning("the leader lease was not released and ends by itself: %s", error)

    def leading(self) -> bool:
        """Whether this process leads at this moment.

        Raises:
            Exception: The lease can not be taken for a reason that does not pass.
        """
        if self._fault is not None:
            raise self._fault
        return self._clock() < self._until

    def check(self) -> None:
        """Return if this process leads.

        Raises:
            LeadershipLost: It does not.
        """
        if not self.leading():
            raise LeadershipLost(
                f"{self._holder} does not hold the leader lease {self._name!r} any more; "
                "nothing more is started here, the watcher that leads goes on"
            )

    def attempt(self) -> None:
        """Try once to take or renew the lease."""
        asked = self._clock()
        try:
            leads = self._ledger.acquire_leader(self._name, self._holder, self._lease)
        except RetryableError as error:
            log.warning("the leader lease could not be renewed, trying again: %s", error)
        except Exception as error:
            log.exception("the leader lease can not be kept")
            self._fault = error
            self._until = float("-inf")
            self._on_change()
            return
        else:
            self._until = asked + _OWN_SHARE * self._lease if leads else float("-inf")
        now_leads = self._clock() < self._until and not self._stopped.is_set()
        if now_leads != self._led:
            self._led = now_leads
            log.warning("%s %s", self._holder, "leads" if now_leads else "stands by")
            self._on_change()

    def _run(self) -> None:
        while not self._stopped.is_set() and self._fault is None:
            self.attempt()
            self._stopped.wait(self._lease / (_RENEWALS if self._led else _STANDBY_LOOKS))
