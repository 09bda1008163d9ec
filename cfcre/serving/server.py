"""The server process: listens, follows the champion, and stops without cutting a request off."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from cfcre.config import Settings
from cfcre.errors import ConfigurationError
from cfcre.serving.app import ServerState, create_app
from cfcre.serving.connections import bounded_protocol
from cfcre.serving.metrics import ServingMetrics
from cfcre.serving.reload import Registry, Reloader
from cfcre.serving.served import ServedVersion, Slot
from cfcre.tracking.downloads import RegisteredVersion

__all__ = ["TOKEN_VARIABLE", "Server", "serve"]

_log = logging.getLogger(__name__)

TOKEN_VARIABLE = "CFCRE_SERVE_TOKEN"  # noqa: S105 - the name of a variable


class _Uvicorn(uvicorn.Server):
    """Waits a moment between the signal and the end of accepting."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        delay = self._state.settings.shutdown_delay_seconds
        if self._state.stopping or not delay:
            self._state.stopping = True
            super().handle_exit(sig, frame)
            return
        self._state.stopping = True
        timer = threading.Timer(delay, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


class Server:
    """A champion over HTTP.

    Args:
        settings: Where the registry is, and the section ``serving``.
        registry: Opens the registry.
        token: Bearer token for ``/invocations``; None asks for none.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """

    def __init__(
        self, settings: Settings, registry: Callable[[], Registry], token: str | None = None
    ) -> None:
        serving = settings.serving
        metrics = ServingMetrics()
        self.state = ServerState(serving, Slot(), metrics, token)
        self._socket = _listen(serving.host, serving.port)

        def load(registered: RegisteredVersion, folder: Path, state: Path) -> ServedVersion:
            return ServedVersion(
                registered.version, registered.identity, folder, state, settings, metrics
            )

        self.reloader = Reloader(
            registry,
            load,
            self.state.slot,
            metrics,
            poll_seconds=serving.poll_seconds,
            max_bytes=serving.max_model_bytes,
        )
        config = uvicorn.Config(
            create_app(self.state),
            http=bounded_protocol(serving.max_connections, serving.body_timeout_seconds),
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=serving.keep_alive_seconds,
            timeout_graceful_shutdown=serving.shutdown_grace_seconds,
        )
        self._uvicorn = _Uvicorn(config, self.state)

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish what is in flight."""
        self.reloader.start()
        try:
            with _signals_end_quietly():
                self._uvicorn.run(sockets=[self._socket])
        finally:
            self.reloader.stop()
            if (served := self.state.slot.current) is not None:
                served.abandon()

    def stop(self) -> None:
        """Stop as SIGTERM does; from another thread."""
        self._uvicorn.handle_exit(signal.SIGTERM, None)


def serve(settings: Settings, environ: dict[str, str] | None = None) -> None:
    """Serve the champion until SIGTERM.

    Args:
        settings: Where the registry is, and the section ``serving``.
        environ: Environment to read the token from.

    Raises:
        ConfigurationError: The address, the tracking URI or the token cannot be used.
    """
    from cfcre.operations.tracking_store import open_tracker
    from cfcre.tracking.connection import check_tracking_uri

    check_tracking_uri(settings.tracking_uri)
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    # Tokenising runs in the threads of the requests already.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    token = _token(os.environ if environ is None else environ)
    server = Server(settings, lambda: open_tracker(settings), token)
    asked = "a bearer token is asked for" if token else f"no token ({TOKEN_VARIABLE} is not set)"
    _log.info(
        "listening on %s, %s; version: the champion of %r",
        server.url,
        asked,
        settings.tracking.registered_model,
    )
    server.run()
    _log.info("stopped")


def _token(environ: os._Environ[str] | dict[str, str]) -> str | None:
    given = environ.get(TOKEN_VARIABLE)
    if given is None:
        return None
    token = given.strip()
    if len(token) < 16:
        # An empty secret would otherwise open what it was meant to close.
        raise ConfigurationError(
            f"{TOKEN_VARIABLE} has {len(token)} characters; give at least 16, or unset it"
        )
    return token


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error}; give another --host or --port"
        ) from error


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """Uvicorn raises the signal again after it has stopped; an orderly end is exit code 0."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda number, frame: None)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
