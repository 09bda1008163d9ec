"""Repeating the reconciler's step: once, until nothing is left to do, or for ever."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from cfcre.errors import CfcreError, LeadershipLost, RetryableError
from cfcre.operations.reconciler import ReconcileReport

__all__ = ["Hooks", "Mode", "Step", "watch"]

log = logging.getLogger(__name__)

Mode = Literal["once", "until_idle", "interval"]
Step = Callable[[frozenset[str]], ReconcileReport]
"""Takes the streams for which no run is to be started; see ``reconcile(skip_streams=…)``."""

_STANDBY_SECONDS = 5.0


class Signal(Protocol):
    """What ends a pause; an event of ``threading``."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most so many seconds."""
        ...

    def clear(self) -> None:
        """Take the signal back."""
        ...


@dataclass(frozen=True)
class Hooks:
    """What surrounds the loop of ``interval``.

    Attributes:
        leading: Whether this watcher acts now; a standby only waits.
        wake: Set from outside to look at once, and together with ``stop``.
        on_turn: Told that the loop turned over.
        on_error: Told how many things failed in a step.
        on_done: Told that a step succeeded.
    """

    leading: Callable[[], bool] = lambda: True
    wake: Signal | None = None
    on_turn: Callable[[], None] = lambda: None
    on_error: Callable[[int], None] = lambda count: None
    on_done: Callable[[], None] = lambda: None


def watch(
    step: Step,
    *,
    mode: Mode,
    stop: threading.Event | None = None,
    interval_seconds: float = 30.0,
    poll_seconds: float = 0.5,
    max_launch_errors: int = 3,
    on_report: Callable[[ReconcileReport], None] | None = None,
    hooks: Hooks | None = None,
) -> ReconcileReport | None:
    """Repeat a step.

    Args:
        step: One reconcile step.
        mode: ``once``; ``until_idle`` (waits for pauses between attempts and for runs of other
            processes, but not for a sequence that is missing); or ``interval``, which goes on until
            ``stop`` and survives services that do not answer for a while.
        stop: Set to end after the current step.
        interval_seconds: Longest pause between steps of ``interval``.
        poll_seconds: Pause between steps while something is waited for; longer where the report
            says that runs go on elsewhere.
        max_launch_errors: So many failures to start a run in a row give a stream up; not in
            ``interval``.
        on_report: Told what each step did.
        hooks: What surrounds the loop of ``interval``.

    Returns:
        The last step's report; None when ``stop`` was set before the first.

    Raises:
        CfcreError: A step failed, or runs of a stream could not be started. Other streams are
            finished first.
    """
    stop = stop or threading.Event()
    hooks = hooks or Hooks()
    pause = hooks.wake or stop
    failures: Counter[str] = Counter()
    errors: dict[str, Exception] = {}
    report: ReconcileReport | None = None
    while not stop.is_set():
        hooks.on_turn()
        if hooks.wake is not None:
            hooks.wake.clear()  # before the step: what comes during it is not lost
        if mode == "interval" and not hooks.leading():
            pause.wait(min(interval_seconds, _STANDBY_SECONDS))
            continue
        given_up = (
            frozenset(name for name, count in failures.items() if count >= max_launch_errors)
            if mode == "until_idle"
            else frozenset[str]()
        )
        try:
            report = step(given_up)
        except LeadershipLost as lost:
            if mode != "interval":
                raise
            log.warning("%s", lost)
            continue
        except RetryableError as error:
            if mode != "interval":
                raise
            hooks.on_error(1)
            log.warning("%s; looking again in %g s", error, interval_seconds)
            pause.wait(interval_seconds)
            continue
        hooks.on_error(len(report.launch_errors))
        hooks.on_done()
        if on_report:
            on_report(report)
        for stream, _ in [*report.launched, *report.under_way]:
            failures.pop(stream, None)
            errors.pop(stream, None)
        failures.update(report.launch_errors.keys())
        errors.update(report.launch_errors)
        if mode == "once":
            break
        if report.launched or report.look_again:
            continue
        if mode == "interval":
            pause.wait(_until_due(report, poll_seconds, interval_seconds))
        elif _nothing_left(report, given_up):
            break
        else:
            pause.wait(max(poll_seconds, report.poll_seconds or 0.0))
    needed = 1 if mode == "once" else max_launch_errors
    final = {name: error for name, error in errors.items() if failures[name] >= needed}
    if final and mode != "interval":
        raise _as_one(final)
    return report


def _until_due(report: ReconcileReport, poll_seconds: float, interval_seconds: float) -> float:
    """Seconds until something is to be done by itself, within the interval."""
    due = [interval_seconds]
    if report.next_due is not None:
        due.append((report.next_due - datetime.now(UTC)).total_seconds())
    if report.poll_seconds is not None and not report.idle:
        due.append(report.poll_seconds)  # a run elsewhere may end, and its batch's successor wait
    return max(poll_seconds, min(due))


def _nothing_left(report: ReconcileReport, given_up: frozenset[str]) -> bool:
    """Whether only streams that were given up have something to do."""
    return not report.launched and all(
        a.stream in given_up or not (a.claimable or a.live or a.backoff_until)
        for a in report.activity
    )


def _as_one(errors: dict[str, Exception]) -> Exception:
    stream, error = next(iter(errors.items()))
    if isinstance(error, CfcreError):
        return error
    wrapped = CfcreError(f"no run could be started for stream {stream!r}: {error}")
    wrapped.__cause__ = error
    return wrapped
