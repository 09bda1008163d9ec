"""The watcher as a service: leader lease, queue, webhook and health around the reconcile loop."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cfcre.config import Settings
from cfcre.errors import QueueUnavailable
from cfcre.intake.events.notifications import InboxPlace
from cfcre.operations.ledger import Ledger
from cfcre.operations.reconciler import Launcher, RemoteLauncher
from cfcre.operations.triggers.health import Pulse, health_app
from cfcre.operations.triggers.http import HttpServer
from cfcre.operations.triggers.leader import Elector, holder_name
from cfcre.operations.triggers.metrics import LedgerView, WatchMetrics
from cfcre.operations.triggers.queue import QueueReader
from cfcre.operations.triggers.recorder import Record, Recorder
from cfcre.operations.triggers.signature import Gatekeeper, read_secret
from cfcre.operations.triggers.webhook import WebhookLimits, webhook_app
from cfcre.operations.watch import Hooks

__all__ = ["Service", "ServiceOptions", "open_service"]

log = logging.getLogger(__name__)

_HEALTH_CONNECTIONS = 32
_HEALTH_SECONDS = 15.0


@dataclass(frozen=True)
class ServiceOptions:
    """What was asked for.

    Attributes:
        stream: Only this stream is acted upon; events about others are recorded all the same.
        leader_election: Act only while holding the lease.
        health_port: Port of health and metrics; 0 takes a free one, None serves none.
        webhook_port: Port of the webhook; 0 takes a free one, None serves none.
        sqs_queue_url: Queue to read, or None.
    """

    stream: str | None = None
    leader_election: bool = False
    health_port: int | None = None
    webhook_port: int | None = None
    sqs_queue_url: str | None = None


class Service:
    """What surrounds the loop; see :func:`open_service`.

    Attributes:
        hooks: For :func:`cfcre.operations.watch.watch`.
        wake: Ends a pause of the loop.
        ports: Name of a server to the port it listens on.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        elector: Elector | None,
        wake: threading.Event,
    ) -> None:
        self._elector = elector
        self.wake = wake
        self.ports: dict[str, int] = {}
        self.view = LedgerView(ledger)
        self.metrics = WatchMetrics(self.view, self.leading)
        self.pulse = Pulse(settings.trigger.stalled_after_seconds, settings.trigger.launch_seconds)
        self.servers: list[HttpServer] = []
        self.hooks = Hooks(
            leading=self.leading,
            wake=self.wake,
            on_turn=self._turn,
            on_error=self.metrics.error,
            on_done=self.metrics.reconciled,
        )

    def leading(self) -> bool:
        """Whether this watcher acts now."""
        return self._elector is None or self._elector.leading()

    def check(self) -> None:
        """Return if this watcher acts now.

        Raises:
            LeadershipLost: It does not.
        """
        if self._elector is not None:
            self._elector.check()

    def guard(self, launcher: Launcher) -> Launcher:
        """The launcher, with a pulse that knows that a run may take its time."""
        if isinstance(launcher, RemoteLauncher):
            return launcher  # it returns at once, and its calls have time limits of their own
        return _PulsedLauncher(launcher, self.pulse)

    def _turn(self) -> None:
        for server in self.servers:
            server.check()
        self.pulse.turn()


class _PulsedLauncher:
    def __init__(self, launcher: Launcher, pulse: Pulse) -> None:
        self._launcher = launcher
        self._pulse = pulse

    def launch(self, stream: str, batch_hash: str) -> bool:
        with self._pulse.launching(stream):
            return self._launcher.launch(stream, batch_hash)


@contextmanager
def open_service(
    settings: Settings,
    ledger: Ledger,
    record: Record,
    options: ServiceOptions,
    *,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[Service]:
    """Start what was asked for; stop it, and release the leader lease, when the block ends.

    Args:
        settings: Settings of the home.
        ledger: The ledger.
        record: Records what lies in a part of the inbox.
        options: What was asked for.
        environ: Holds the webhook's secret.

    Raises:
        ConfigurationError: A port is taken, the secret is missing, or the queue can not be used.
    """
    wake = threading.Event()
    elector = _elector(settings, ledger, options, wake.set) if options.leader_election else None
    service = Service(settings, ledger, elector, wake)
    with ExitStack() as stack:
        if options.webhook_port is not None or options.sqs_queue_url is not None:
            recorder = Recorder(record, on_recorded=wake.set)
            stack.callback(recorder.stop)
            # Everything that can be wrong is found out before anything is started.
            reader = _reader(settings, options, recorder, service)
            if reader is not None:
                service.metrics.expect("sqs")
            if options.webhook_port is not None:
                service.metrics.expect("webhook")
                server = _webhook(
                    settings, options.webhook_port, recorder, service.metrics, environ
                )
                _serve(service, stack, server)
            recorder.start()
            if reader is not None:
                stack.callback(reader.stop)
                reader.start()
        if options.health_port is not None:
            app = health_app(service.pulse, service.metrics, service.view)
            server = HttpServer(
                app,
                options.health_port,
                name="health",
                deadline_seconds=_HEALTH_SECONDS,
                max_connections=_HEALTH_CONNECTIONS,
            )
            _serve(service, stack, server)
        if elector is not None:
            stack.callback(elector.stop)
            elector.start()
        yield service


def _elector(
    settings: Settings,
    ledger: Ledger,
    options: ServiceOptions,
    on_change: Callable[[], None],
) -> Elector:
    # Watchers of different streams do not stand in each other's way.
    name = _lease_name(options.stream)
    seconds = settings.trigger.leader_lease_seconds
    return Elector(ledger, name, holder_name(), seconds, on_change=on_change)


def _lease_name(stream: str | None) -> str:
    # The ledger takes names of 128 characters, which a stream's name may have by itself.
    if stream is None:
        return "watch"
    if len(stream) <= 100:
        return f"watch:{stream}"
    return f"watch:sha256:{hashlib.sha256(stream.encode()).hexdigest()}"


def _serve(service: Service, stack: ExitStack, server: HttpServer) -> None:
    service.servers.append(server)
    service.ports[server.name] = server.port
    stack.callback(server.stop)
    server.start()


def _webhook(
    settings: Settings,
    port: int,
    recorder: Recorder,
    metrics: WatchMetrics,
    environ: Mapping[str, str],
) -> HttpServer:
    trigger = settings.trigger
    limits = WebhookLimits(
        trigger.webhook_max_body_bytes,
        trigger.webhook_body_seconds,
        trigger.webhook_answer_seconds,
    )
    app = webhook_app(
        Gatekeeper(read_secret(environ), trigger.webhook_replay_seconds),
        InboxPlace.of(settings),
        recorder,
        limits,
        lambda outcome: metrics.event("webhook", outcome),
    )
    return HttpServer(
        app,
        port,
        name="webhook",
        deadline_seconds=limits.body_seconds + limits.answer_seconds + 5.0,
        max_connections=trigger.webhook_max_connections,
    )


def _reader(
    settings: Settings, options: ServiceOptions, recorder: Recorder, service: Service
) -> QueueReader | None:
    if options.sqs_queue_url is None:
        return None
    from cfcre.intake.events.sqs import SqsQueue  # boto3 takes half a second to import

    queue = SqsQueue.open(options.sqs_queue_url, settings.store)
    try:
        queue.max_receives()
    except QueueUnavailable as error:
        log.warning("%s; it is tried again while the watcher runs", error)
    return QueueReader(
        queue,
        InboxPlace.of(settings),
        recorder,
        check=service.check,
        count=lambda outcome, count: service.metrics.event("sqs", outcome, count),
        wait_seconds=settings.trigger.sqs_wait_seconds,
        visibility_seconds=settings.trigger.sqs_visibility_seconds,
        in_hand=settings.trigger.sqs_messages_in_hand,
    )
