"""``cfcre watch``: learn what lies in the inbox."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import click

from cfcre.cli.options import Common, common_options

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.operations.ledger import Ledger
    from cfcre.operations.reconciler import Launcher, ReconcileReport
    from cfcre.operations.triggers.service import ServiceOptions
    from cfcre.operations.watch import Mode

__all__ = ["watch"]

_PORT = click.IntRange(0, 65_535)


@click.command()
@click.option("--stream", metavar="NAME", help="Only this stream.")
@click.option("--once", is_flag=True, help="Look once; at most one task a stream.")
@click.option("--until-idle", is_flag=True, help="Until nothing is left to do.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), metavar="S", help="For ever, every S seconds."
)
@click.option(
    "--leader-election",
    is_flag=True,
    help="With --interval: act only while holding the ledger's leader lease, else stand by.",
)
@click.option(
    "--health-port",
    type=_PORT,
    metavar="P",
    help="With --interval: serve /healthz, /readyz and /metrics on this port.",
)
@click.option(
    "--webhook-port",
    type=_PORT,
    metavar="P",
    help="With --interval: take POST /webhook on this port; the secret is CFCRE_WEBHOOK_SECRET.",
)
@click.option(
    "--sqs-queue-url",
    metavar="URL",
    help="With --interval: read storage events from this queue [trigger.sqs_queue_url].",
)
@common_options
def watch(
    common: Common,
    stream: str | None,
    once: bool,
    until_idle: bool,
    interval: float | None,
    leader_election: bool,
    health_port: int | None,
    webhook_port: int | None,
    sqs_queue_url: str | None,
) -> None:
    """Learn the batches of the inbox, one task of a stream at a time.

    Killing it at any moment is safe: the next watch goes on. A batch that is rejected or set aside
    stops nothing else and does not change the exit code; 'cfcre status' shows it.

    With --interval it is a service: an event in a queue or a webhook wakes it before the interval
    is over. An event is only a reason to look; what is true stands in the ledger.
    """
    chosen: dict[Mode, bool] = {
        "once": once,
        "until_idle": until_idle,
        "interval": interval is not None,
    }
    modes = [mode for mode, given in chosen.items() if given]
    if len(modes) != 1:
        raise click.UsageError("give one of --once, --until-idle and --interval S")
    if interval is None:
        services = {
            "--leader-election": leader_election,
            "--health-port": health_port is not None,
            "--webhook-port": webhook_port is not None,
            "--sqs-queue-url": sqs_queue_url is not None,
        }
        given = [name for name, present in services.items() if present]
        if given:
            raise click.UsageError(f"{' and '.join(given)}: only together with --interval S")
        run_watch(common, stream, modes[0], 1.0)
        return

    from cfcre.operations.triggers.service import ServiceOptions

    settings = common.settings()
    run_service(
        settings,
        ServiceOptions(
            stream=stream,
            leader_election=leader_election,
            health_port=health_port,
            webhook_port=webhook_port,
            sqs_queue_url=sqs_queue_url or settings.trigger.sqs_queue_url,
        ),
        interval,
    )


def run_watch(common: Common, stream: str | None, mode: Mode, interval: float) -> None:
    """Watch with the configured launcher and show what happens."""
    from cfcre.cli.home import reconcile_step
    from cfcre.operations.watch import watch as watch_loop

    settings = common.settings()
    ledger, launcher, on_report = _prepare(settings)
    with _stopped_by_sigterm():
        report = watch_loop(
            reconcile_step(settings, ledger, launcher, stream),
            mode=mode,
            interval_seconds=interval,
            on_report=on_report,
        )
    waiting = sum(activity.waiting for activity in report.activity) if report else 0
    if waiting:
        click.echo(f"{waiting} batches wait; 'cfcre status' says for what")


def run_service(settings: Settings, options: ServiceOptions, interval: float) -> None:
    """Watch until the process is told to end."""
    from cfcre.cli.home import reconcile_step, record_step
    from cfcre.operations.triggers.service import open_service
    from cfcre.operations.watch import watch as watch_loop

    ledger, launcher, on_report = _prepare(settings)
    told = _Told()
    with told, open_service(settings, ledger, record_step(settings, ledger), options) as service:
        told.wakes(service.wake)
        for name, port in service.ports.items():
            click.echo(f"{name} on port {port}")
        watch_loop(
            reconcile_step(
                settings, ledger, service.guard(launcher), options.stream, check=service.check
            ),
            mode="interval",
            stop=told.stop,
            interval_seconds=interval,
            on_report=on_report,
            hooks=service.hooks,
        )
    if told.number == signal.SIGINT:
        raise KeyboardInterrupt
    # For a service SIGTERM is the ordinary end, and no failure.
    click.echo("told to end; what was not finished is taken up by the next 'cfcre watch'")


def _prepare(
    settings: Settings,
) -> tuple[Ledger, Launcher, Callable[[ReconcileReport], None]]:
    from cfcre.cli.home import open_ledger
    from cfcre.cli.progress import Reporter
    from cfcre.operations.launchers import open_launcher

    settings.home.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings)
    reporter = Reporter(ledger)
    launcher = open_launcher(
        settings,
        on_start=reporter.on_start,
        on_event=reporter.on_event,
        on_end=reporter.on_end,
    )
    return ledger, launcher, reporter.on_report


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """A service manager's SIGTERM takes the running task down with us, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread hears signals.
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Told:
    """A service's ear for SIGTERM and SIGINT.

    The first signal interrupts what the main thread does, and is remembered: Python drops an
    exception that is raised while it happens to run a finaliser, and the loop would go on. Later
    signals must not cut the release of the leader lease off.

    Attributes:
        stop: Set with the first signal, and when the block ends.
        number: The first signal; None without one.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Told:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.stop.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return self.number is not None and kind is KeyboardInterrupt

    def wakes(self, pause: threading.Event) -> None:
        """End a pause of the loop with the first signal.

        In a thread: a handler that sets what its own thread waits for may wait for ever.
        """

        def wait() -> None:
            self.stop.wait()
            pause.set()

        threading.Thread(target=wait, name="told-to-end", daemon=True).start()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            self.stop.set()
            raise KeyboardInterrupt
