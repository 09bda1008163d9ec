"""Repeating the reconciler's step: once, until nothing is left to do, or for ever."""

from __future__ import annotations

import logging
import threading
import time
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

_LONGEST_PATIENCE = 60.0
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
    clock: Callable[[], float] = time.monotonic,
) -> ReconcileReport | None:
    """Repeat a step.

    Args:
        step: One reconcile step.
        mode: ``once``; ``until_idle`` (waits for pauses between attempts and for runs of other
            processes, but not for a sequence that is missing); or ``interval``, which goes on until
            ``stop`` and survives services that do not answer for a while.
        stop: Set to end after the current step.
        interval_seconds: Longest pause between steps of ``interval``.
        poll_seconds: Pause between steps while something is waited for.
        max_launch_errors: So many failures to start a run in a row give a stream up; not in
            ``interval``.
        on_report: Told what each step did.
        hooks: What surrounds the loop of ``interval``.
        clock: Seconds; replaced in tests.

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
    asked = _Asked(2 * poll_seconds, clock)
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
            report = step(given_up | asked.quiet())
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
        for stream, _ in report.launched:
            failures.pop(stream, None)
            errors.pop(stream, None)
        failures.update(report.launch_errors.keys())
        errors.update(report.launch_errors)
        if mode == "once":
            break
        if asked.note(report):
            continue
        if mode == "interval":
            pause.wait(_until_due(report, asked, poll_seconds, interval_seconds))
        elif _nothing_left(report, given_up):
            break
        else:
            pause.wait(poll_seconds)
    needed = 1 if mode == "once" else max_launch_errors
    final = {name: error for name, error in errors.items() if failures[name] >= needed}
    if final and mode != "interval":
        raise _as_one(final)
    return report


class _Asked:
    """Runs that were asked for and have not claimed their batch yet.

    A launcher may return before its run claims. Until then the batch looks as if nothing had been
    done, and asking again at once, in a loop, would hammer whatever starts the runs.
    """

    def __init__(self, first_seconds: float, clock: Callable[[], float]) -> None:
        self._first = first_seconds
        self._clock = clock
        self._asked: dict[str, tuple[str, int, float]] = {}  # batch, times, not again before

    def quiet(self) -> frozenset[str]:
        """Streams that are not to be asked for again yet."""
        now = self._clock()
        return frozenset(stream for stream, (_, _, until) in self._asked.items() if until > now)

    def due(self) -> float | None:
        """Seconds until a stream may be asked for again; None where none waits for that."""
        now = self._clock()
        left = [until - now for _, _, until in self._asked.values()]
        return min(left, default=None)

    def note(self, report: ReconcileReport) -> bool:
        """Take in what a step did; whether a run went on, so that the next step is due at once."""
        claimable = {a.stream: a.claimable for a in report.activity}
        for stream in list(self._asked):
            if claimable.get(stream) != self._asked[stream][0]:
                del self._asked[stream]
        went_on = False
        for stream, batch in report.launched:
            if claimable.get(stream) != batch:
                went_on = went_on or not self._runs(report, stream)
                continue
            _, times, _ = self._asked.get(stream, (batch, 0, 0.0))
            patience = min(_LONGEST_PATIENCE, self._first * 2.0 ** min(times, 16))
            self._asked[stream] = (batch, times + 1, self._clock() + patience)
        return went_on

    @staticmethod
    def _runs(report: ReconcileReport, stream: str) -> bool:
        return any(a.stream == stream and a.live is not None for a in report.activity)


def _until_due(
    report: ReconcileReport, asked: _Asked, poll_seconds: float, interval_seconds: float
) -> float:
    """Seconds until something is to be done by itself, within the interval."""
    due = [interval_seconds]
    if report.next_due is not None:
        due.append((report.next_due - datetime.now(UTC)).total_seconds())
    again = asked.due()
    if again is not None:
        due.append(again)
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
