"""``cfcre watch``: learn what lies in the inbox."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from cfcre.cli.options import Common, common_options

if TYPE_CHECKING:
    from cfcre.operations.watch import Mode

__all__ = ["watch"]


@click.command()
@click.option("--stream", metavar="NAME", help="Only this stream.")
@click.option("--once", is_flag=True, help="Look once; at most one task a stream.")
@click.option("--until-idle", is_flag=True, help="Until nothing is left to do.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), metavar="S", help="For ever, every S seconds."
)
@common_options
def watch(
    common: Common, stream: str | None, once: bool, until_idle: bool, interval: float | None
) -> None:
    """Learn the batches of the inbox, one task of a stream at a time.

    Killing it at any moment is safe: the next watch goes on. A batch that is rejected or set aside
    stops nothing else and does not change the exit code; 'cfcre status' shows it.
    """
    chosen: dict[Mode, bool] = {
        "once": once,
        "until_idle": until_idle,
        "interval": interval is not None,
    }
    modes = [mode for mode, given in chosen.items() if given]
    if len(modes) != 1:
        raise click.UsageError("give one of --once, --until-idle and --interval S")
    run_watch(common, stream, modes[0], interval or 1.0)


def run_watch(common: Common, stream: str | None, mode: Mode, interval: float) -> None:
    """Watch with the configured launcher and show what happens."""
    from cfcre.cli.home import open_ledger, reconcile_step
    from cfcre.cli.progress import Reporter
    from cfcre.operations.launchers import open_launcher
    from cfcre.operations.watch import watch as watch_loop

    settings = common.settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings)
    reporter = Reporter(ledger)
    launcher = open_launcher(
        settings,
        on_start=reporter.on_start,
        on_event=reporter.on_event,
        on_end=reporter.on_end,
    )
    with _stopped_by_sigterm():
        report = watch_loop(
            reconcile_step(settings, ledger, launcher, stream),
            mode=mode,
            interval_seconds=interval,
            on_report=reporter.on_report,
        )
    waiting = sum(activity.waiting for activity in report.activity) if report else 0
    if waiting:
        click.echo(f"{waiting} batches wait; 'cfcre status' says for what")


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """A service manager's SIGTERM takes the running task down with us, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread hears signals.
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
