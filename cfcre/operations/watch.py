"""Repeating the reconciler's step: once, until nothing is left to do, or for ever."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Literal

from cfcre.errors import CfcreError, RetryableError
from cfcre.operations.reconciler import ReconcileReport

__all__ = ["Mode", "Step", "watch"]

log = logging.getLogger(__name__)

Mode = Literal["once", "until_idle", "interval"]
Step = Callable[[frozenset[str]], ReconcileReport]
"""Takes the streams for which no run is to be started; see ``reconcile(skip_streams=…)``."""


def watch(
    step: Step,
    *,
    mode: Mode,
    stop: threading.Event | None = None,
    interval_seconds: float = 30.0,
    poll_seconds: float = 0.5,
    max_launch_errors: int = 3,
    on_report: Callable[[ReconcileReport], None] | None = None,
) -> ReconcileReport | None:
    """Repeat a step.

    Args:
        step: One reconcile step.
        mode: ``once``; ``until_idle`` (waits for pauses between attempts and for runs of other
            processes, but not for a sequence that is missing); or ``interval``, which goes on until
            ``stop`` and survives services that do not answer for a while.
        stop: Set to end after the current step.
        interval_seconds: Pause between steps of ``interval`` that found nothing to do.
        poll_seconds: Pause between steps while something is waited for; longer where the report
            says that runs go on elsewhere.
        max_launch_errors: So many failures to start a run in a row give a stream up; not in
            ``interval``.
        on_report: Told what each step did.

    Returns:
        The last step's report; None when ``stop`` was set before the first.

    Raises:
        CfcreError: A step failed, or runs of a stream could not be started. Other streams are
            finished first.
    """
    stop = stop or threading.Event()
    failures: Counter[str] = Counter()
    errors: dict[str, Exception] = {}
    report: ReconcileReport | None = None
    while not stop.is_set():
        given_up = (
            frozenset(name for name, count in failures.items() if count >= max_launch_errors)
            if mode == "until_idle"
            else frozenset[str]()
        )
        try:
            report = step(given_up)
        except RetryableError as error:
            if mode != "interval":
                raise
            log.warning("%s; looking again in %g s", error, interval_seconds)
            stop.wait(interval_seconds)
            continue
        if on_report:
            on_report(report)
        for stream, _ in [*report.launched, *report.under_way]:
            failures.pop(stream, None)
            errors.pop(stream, None)
        failures.update(report.launch_errors.keys())
        errors.update(report.launch_errors)
        if mode == "once":
            break
        if report.launched:
            continue
        pause = max(poll_seconds, report.poll_seconds or 0.0)
        if mode == "interval":
            # Runs that go on elsewhere are no reason to look less often than asked.
            busy = pause if report.poll_seconds is None else min(pause, interval_seconds)
            stop.wait(interval_seconds if report.idle else busy)
        elif _nothing_left(report, given_up):
            break
        else:
            stop.wait(pause)
    needed = 1 if mode == "once" else max_launch_errors
    final = {name: error for name, error in errors.items() if failures[name] >= needed}
    if final and mode != "interval":
        raise _as_one(final)
    return report


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
