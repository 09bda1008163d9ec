"""Following the ``champion`` alias: ask, download, check, load, warm up, swap, drain.

The running version answers until the new one has answered its own example, and goes on where
anything fails: the registry is away, the files are damaged, the model answers nonsense. Then the
failure is counted and logged, and tried again later.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cfcre.errors import CfcreError
from cfcre.serving.metrics import ServingMetrics
from cfcre.serving.served import ServedVersion, Slot
from cfcre.tracking.downloads import RegisteredVersion

__all__ = ["Load", "Registry", "Reloader"]

_log = logging.getLogger(__name__)

ALIAS = "champion"
_LONGEST_WAIT_SECONDS = 600.0
_REPEAT_SECONDS = 600.0

#: Loads a checked version: (registered, folder with MLmodel, folder of the learner state).
Load = Callable[[RegisteredVersion, Path, Path], ServedVersion]


class Registry(Protocol):
    """What is asked of MLflow; :class:`cfcre.tracking.client.Tracker` offers it."""

    def aliased(self, alias: str) -> RegisteredVersion | None:
        """The version behind an alias."""
        ...

    def download(self, registered: RegisteredVersion, folder: Path, max_bytes: int) -> Path:
        """Copy a version into an empty folder and check it; returns its learner state."""
        ...


class Reloader:
    """Keeps a slot filled with the champion.

    Args:
        registry: Opens the registry; called until it succeeds once.
        load: Loads a version.
        slot: Where it answers.
        metrics: Counts failures, names the version.
        poll_seconds: Time between two questions to the registry.
        max_bytes: Largest version downloaded.
    """

    def __init__(
        self,
        registry: Callable[[], Registry],
        load: Load,
        slot: Slot,
        metrics: ServingMetrics,
        *,
        poll_seconds: float,
        max_bytes: int,
    ) -> None:
        self._open = registry
        self._registry: Registry | None = None
        self._load = load
        self._slot = slot
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._max_bytes = max_bytes
        self._stop = threading.Event()
        self._said = self._said_kind = ""
        self._said_at = 0.0
        self._bad: RegisteredVersion | None = None
        self._failures = 0
        self._not_before = 0.0
        # A daemon: a registry that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="cfcre-reload", daemon=True)

    def start(self) -> None:
        """Follow the alias in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for no further version; does not wait for one that is being loaded."""
        self._stop.set()

    def step(self) -> bool:
        """Look once; returns whether the slot holds another version now. Raises nothing."""
        try:
            return self._step()
        except CfcreError as error:
            self._failed(error, str(error))
        except Exception as error:
            # A bug, or a full disk: the version that runs must go on whatever it is.
            _log.debug("reload", exc_info=True)
            self._failed(error, f"{type(error).__name__}: {error}")
        return False

    def _run(self) -> None:
        while not self._stop.is_set():
            self.step()
            self._stop.wait(self._poll_seconds)

    def _step(self) -> bool:
        if self._registry is None:
            self._registry = self._open()
        wanted = self._registry.aliased(ALIAS)
        current = self._slot.current
        if wanted is None:
            serving = f"; version {current.version} goes on" if current else ""
            self._say(f"the registry has no {ALIAS}{serving}", f"no {ALIAS}")
            return False
        if current is not None and current.identity == wanted.identity:
            self._quiet()
            self._bad = None
            return False
        if wanted != self._bad:
            self._bad, self._failures = wanted, 0
        elif time.monotonic() < self._not_before:
            return False
        before = self._exchange(self._registry, wanted)
        if before is not None:
            # The next look may be at once; the old version ends when its requests have.
            threading.Thread(
                target=self._slot.drain, args=(before,), name="cfcre-drain", daemon=True
            ).start()
        return True

    def _exchange(self, registry: Registry, wanted: RegisteredVersion) -> ServedVersion | None:
        started = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="cfcre-serve-") as temporary:
                folder = Path(temporary)
                state = registry.download(wanted, folder, self._max_bytes)
                served = self._load(wanted, folder, state)
        except BaseException:
            self._failures += 1
            wait = min(self._poll_seconds * 2 ** (self._failures - 1), _LONGEST_WAIT_SECONDS)
            self._not_before = time.monotonic() + wait
            raise
        before = self._slot.swap(served)
        self._metrics.set_version(served.version)
        self._bad = None
        self._quiet()
        instead = f" instead of version {before.version}" if before else ""
        _log.info(
            "version %s answers%s, loaded in %.1f s",
            served.version,
            instead,
            time.monotonic() - started,
        )
        return before

    def _failed(self, error: Exception, message: str) -> None:
        self._metrics.reload_failures.inc()
        current = self._slot.current
        goes_on = f"version {current.version} goes on" if current else "nothing is served yet"
        wanted = self._bad.identity if self._bad else ""
        self._say(
            f"reload failed, {goes_on}: {message}", f"{type(error).__name__} {goes_on} {wanted}"
        )

    def _say(self, message: str, kind: str) -> None:
        """Log a message, unless one of its kind was logged a short while ago.

        A registry that is away for hours is a line now and then, not one a poll. The messages
        themselves differ at each try: they may hold addresses of objects.
        """
        now = time.monotonic()
        if kind != self._said_kind or now - self._said_at > _REPEAT_SECONDS:
            _log.warning("%s", message)
            self._said_at = now
        self._said, self._said_kind = message, kind

    def _quiet(self) -> None:
        """All is well: whatever comes next is said."""
        self._said = self._said_kind = ""
