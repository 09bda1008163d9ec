"""A TCP proxy before Postgres that loses one request, or the answer to it, and the connection."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from sqlalchemy.engine import make_url


class CutProxy:
    """Passes bytes on until it is told to cut.

    The driver waits for each answer before it asks again, so what arrives at once is one request.

    Args:
        url: The database behind it.
    """

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._left = 0  # requests until the cut; 0: no cut is planned
        self._answered = False
        self.requests: list[bytes] = []
        """What was asked since :meth:`cut_at`."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The database through the proxy. Without TLS: its requests could not be told apart."""
        port = self._listener.getsockname()[1]
        query = {"sslmode": "disable", "gssencmode": "disable"}
        return self._target.set(port=port, query=query).render_as_string(hide_password=False)

    def cut_at(self, request: int, *, answered: bool) -> None:
        """Cut at a request to come, the first being 1.

        Args:
            request: Which one.
            answered: Whether the server still gets it; only its answer is lost then.
        """
        with self._lock:
            self._left, self._answered, self.requests = request, answered, []

    @property
    def armed(self) -> bool:
        """Whether the cut is still to come."""
        with self._lock:
            return self._left > 0

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        address = (self._target.host or "", self._target.port or 5432)
        with client, socket.create_connection(address) as server, contextlib.suppress(OSError):
            while True:
                readable, _, _ = select.select([client, server], [], [])
                for source in readable:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is server:
                        client.sendall(data)
                    elif not self._cut(data):
                        server.sendall(data)
                    elif self._answered:
                        server.sendall(data)
                        server.recv(1 << 16)  # the server did it; nobody hears of it
                        return
                    else:
                        return

    def _cut(self, data: bytes) -> bool:
        with self._lock:
            if not self._left:
                return False
            self.requests.append(data)
            self._left -= 1
            return self._left == 0
