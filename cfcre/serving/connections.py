"""Connections that say nothing do not pile up.

Uvicorn's timer covers a connection that is idle after an answer. A client that connects and sends
nothing, or its headers one byte at a time, or a body that nobody reads any more, is closed here.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

__all__ = ["bounded_protocol"]


def bounded_protocol(max_connections: int, header_seconds: float) -> type[asyncio.Protocol]:
    """A protocol class for :class:`uvicorn.Config`.

    Args:
        max_connections: Open at once; further ones are closed unanswered.
        header_seconds: Until the headers of a request have arrived, from its first byte or, for a
            new connection, from its opening.
    """

    class BoundedProtocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                transport.abort()
                return
            self._arm()

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._answering():
                self._disarm()
            elif self.timeout_keep_alive_task is None:
                self._arm()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            # Answered before its body was read, as a body too large is: the rest is thrown away,
            # for a while.
            if self.cycle.more_body:
                self._arm()

        def _answering(self) -> bool:
            # None before the first request, whatever uvicorn's annotation says.
            cycle: RequestResponseCycle | None = self.cycle
            return cycle is not None and not cycle.response_complete

        def _arm(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(header_seconds, self._expire)

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _expire(self) -> None:
            self._deadline = None
            if not self._answering():
                self.transport.close()

    return BoundedProtocol
