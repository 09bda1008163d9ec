"""A small HTTP server in a thread, hardened where uvicorn leaves it to a proxy.

uvicorn waits for ever for a request that never becomes whole, and accepts any number of
connections. Here a connection serves one request and has one deadline for all of it, and there are
at most so many connections at once. So neither slow nor many clients can exhaust the watcher.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from cfcre.errors import CfcreError, ConfigurationError

__all__ = ["HttpServer"]

_MAX_HEADER_BYTES = 16_384
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\n"
    b"connection: close\r\n\r\n"
)


class HttpServer:
    """Serves one application on one port of all interfaces.

    Args:
        app: The application.
        port: Port; 0 takes a free one.
        name: For threads and messages.
        deadline_seconds: From the connection to the end of the answer.
        max_connections: Beyond so many the answer is 503.

    Raises:
        ConfigurationError: The port can not be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        port: int,
        *,
        name: str,
        deadline_seconds: float,
        max_connections: int,
    ) -> None:
        self._socket = _listen(port, name)
        self.port: int = self._socket.getsockname()[1]
        # Requests that make no sense are the sender's problem and would fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config = uvicorn.Config(
            app,
            http=_protocol(deadline_seconds, max_connections),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            headers=[("Connection", "close")],
            h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
            timeout_graceful_shutdown=2,
        )
        self.name = name
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name=f"cfcre-{name}", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Close the port, and end what is under way within a few seconds."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        self._socket.close()

    def check(self) -> None:
        """Return while the server serves.

        Raises:
            CfcreError: It has ended.
        """
        if self._thread.ident is not None and not self._thread.is_alive():
            raise CfcreError(f"the {self.name} server has ended; see the messages before")

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(port: int, name: str) -> socket.socket:
    # All interfaces: in a pod, probes and senders come from outside of it.
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on port {port} ({name}): {error}; give another port"
        ) from error


def _protocol(deadline_seconds: float, max_connections: int) -> type[H11Protocol]:
    class Protocol(H11Protocol):
        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                transport.write(_FULL)
                transport.close()
                return
            self.deadline = self.loop.call_later(deadline_seconds, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.deadline is not None:
                self.deadline.cancel()
            super().connection_lost(exc)

    return Protocol
