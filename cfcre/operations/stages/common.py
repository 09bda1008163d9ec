"""What every stage does around its own work: settings, lease, timing, errors, events."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings, load_settings
from cfcre.config.names import model_of_stream
from cfcre.errors import BatchRejected, CfcreError, LeaseLost
from cfcre.operations.events import EventWriter
from cfcre.operations.heartbeat import Heartbeat
from cfcre.operations.owner import Owner

if TYPE_CHECKING:
    from cfcre.intake.store import ObjectStore
    from cfcre.operations.ledger import Claim, Ledger
    from cfcre.operations.training.run import Attempt

__all__ = [
    "PAUSE_VARIABLE",
    "Clock",
    "Stage",
    "begin",
    "inbox_cache",
    "last_loss",
    "one_line",
    "open_ledger",
    "stage",
    "stage_settings",
]

log = logging.getLogger(__name__)

_UNDO_SECONDS = 10.0

PAUSE_VARIABLE = "CFCRE_TEST_PAUSE"
"""``stage=seconds,…``: those stages wait so long once begun. For tests that kill them there."""


class Clock:
    """Seconds since the component's process was started, imports included."""

    def __init__(self) -> None:
        self._began = _process_start()

    def seconds(self) -> float:
        """Wall seconds so far."""
        return time.time() - self._began


def _process_start() -> float:
    """Epoch seconds at which this process began; now, where the system does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.time()


def begin(name: str) -> tuple[Clock, EventWriter]:
    """What claim and settle, which have no claim to hold, do first instead of :func:`stage`."""
    clock = Clock()
    _log_to_stderr()
    events = EventWriter.from_environment()
    events.write(name, "start")
    _pause(name)
    return clock, events


def last_loss(losses: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The last loss of each phase, for the pipeline's metrics."""
    return {f"last_{item['phase']}_loss": float(item["loss"]) for item in losses}


def stage_settings(portable: str) -> Settings:
    """Settings of a component: those that travel with the run, connections from the environment.

    A configuration file of the home is not read again: the run was started with its values, and
    with command-line options above them.

    Raises:
        ConfigurationError: The JSON does not hold settings.
    """
    return load_settings(base=json.loads(portable), config_file=Path(os.devnull))


def open_ledger(settings: Settings) -> Ledger:
    """The ledger, with its tables."""
    from cfcre.operations.ledger import Ledger

    ledger = Ledger.from_settings(settings)
    ledger.create()
    return ledger


def inbox_cache(settings: Settings) -> Path:
    """File that remembers the hashes of the inbox's single objects."""
    return settings.home.absolute() / "cache" / "inbox.json"


@dataclass
class Stage:
    """A running stage.

    Attributes:
        name: Its name in the ledger.
        settings: Settings of the run.
        claim: The task it works on.
        ledger: The ledger.
        events: Where a person watches.
        facts: What the stage tells the ledger and the watcher at its end.
    """

    name: str
    settings: Settings
    claim: Claim
    ledger: Ledger
    events: EventWriter
    facts: dict[str, Any] = field(default_factory=dict)
    _undo: list[Callable[[], None]] = field(default_factory=list)

    @property
    def attempt(self) -> Attempt:
        """What a step needs to know to run elsewhere under this claim."""
        from cfcre.operations.training.run import Attempt

        task = self.claim
        return Attempt(task.run_name, task.token, task.stream, on_start=self._undo.append)

    def leave(self, code: int) -> None:
        """End what this process started elsewhere, for as long as that may take, and itself."""
        for undo in self._undo:
            thread = threading.Thread(target=undo, daemon=True)
            thread.start()
            thread.join(_UNDO_SECONDS)
        os._exit(code)

    @property
    def model_ledger(self) -> Ledger:
        """The ledger, asked about the registered model that the task makes a version of."""
        registered = self.settings.tracking.registered_model
        return self.ledger.for_model(model_of_stream(registered, self.claim.stream))

    @cached_property
    def store(self) -> ObjectStore:
        """The object store."""
        from cfcre.intake.store import open_store

        return open_store(self.settings)

    def progress(self, phase: str, done: int, total: int) -> None:
        """Tell how far long work is, in steps."""
        self.events.write(self.name, "progress", phase=phase, done=done, total=total)


@contextmanager
def stage(name: str, claim: str, settings: str) -> Iterator[Stage]:
    """Run the block as a stage of the claimed task.

    The token is checked first, the lease is kept alive beside the block, and its time is recorded.
    An error is recorded in the ledger with whether a retry can help, then raised on: kfp marks the
    component as failed and the exit handler settles the task. A container that is started again
    after an error that no retry can help does nothing and fails at once.

    Args:
        name: Name of the stage.
        claim: The claim as JSON.
        settings: Portable settings as JSON.

    Raises:
        LeaseLost: Another run owns the task now.
        CfcreError: The attempt has failed for good.
    """
    from cfcre.operations.ledger import Claim

    clock = Clock()
    _log_to_stderr()
    options = stage_settings(settings)
    ledger = open_ledger(options)
    task = Claim.from_json(json.loads(claim))
    running = Stage(name, options, task, ledger, EventWriter.from_environment())
    running.events.write(name, "start")
    try:
        lease = options.ledger.lease_seconds
        ledger.renew(task, lease)
        _refuse_after_a_final_error(ledger, task)
        heartbeat = Heartbeat(
            renew=lambda: ledger.renew(task, lease),
            owner_alive=_owner_alive,
            lease_seconds=lease,
            leave=running.leave,
        )
        with heartbeat:
            _pause(name)
            yield running
        seconds = clock.seconds()
        ledger.record_stage(task, name, seconds)
        running.events.write(name, "end", seconds=seconds, **running.facts)
        _leave_quickly()
    except BaseException as error:
        _record(running, error)
        raise


class _FailedForGood(CfcreError):
    """The attempt has recorded an error that no retry can help."""


def _refuse_after_a_final_error(ledger: Ledger, task: Claim) -> None:
    earlier = ledger.last_error(task)
    if earlier is not None and not earlier.retryable:
        raise _FailedForGood(
            f"run {task.run_name} failed in {earlier.stage} and no retry can help, so nothing was "
            f"done: {earlier.message}"
        )


def _leave_quickly() -> None:
    """Spare the last garbage collection of a component's process.

    Taking torch's and transformers' modules apart at exit takes seconds, and the process's memory
    goes back to the system all the same. Only in a component: elsewhere the process lives on.
    """
    if os.environ.get("_KFP_RUNTIME") == "true":
        gc.disable()
        gc.freeze()


def _record(running: Stage, error: BaseException) -> None:
    message = one_line(error)
    running.events.write(running.name, "error", message=message)
    if isinstance(error, LeaseLost | _FailedForGood) or not isinstance(error, Exception):
        # A stale token may not write; the first of two final errors is the one that says what to
        # do; an interrupt is not the batch's fault.
        return
    # What nobody foresaw may be the machine's fault (memory, disk): worth another attempt.
    retryable = error.retryable if isinstance(error, CfcreError) else True
    reason = None
    if isinstance(error, BatchRejected):
        # The ledger keeps the two apart.
        reason, message = error.reason, " ".join(error.detail.split())
    try:
        running.ledger.record_error(running.claim, running.name, message, retryable, reason)
    except CfcreError as problem:
        log.error("the error could not be recorded in the ledger: %s", problem)


def one_line(error: BaseException) -> str:
    """The error as one line for a person."""
    text = " ".join(str(error).split())
    if isinstance(error, CfcreError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _owner_alive() -> bool:
    owner = Owner.from_env()
    # Without a launcher on this host (a cluster) the lease alone decides.
    return owner is None or owner.alive() is not False


def _pause(name: str) -> None:
    for pause in os.environ.get(PAUSE_VARIABLE, "").split(","):
        wanted, _, seconds = pause.partition("=")
        if wanted == name:
            time.sleep(float(seconds))


def _log_to_stderr() -> None:
    logger = logging.getLogger("cfcre")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
