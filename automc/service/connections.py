"""Connections: how long a request's head may take, how many there are, and what is answered to what is no HTTP."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from automc.service.problems import problem
from automc.service.security.headers import HEADERS
from automc.service.security.limits import Limits


def protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Returns uvicorn's protocol with what it lacks: a time for a request's head, and an end to connections."""

    class Connection(H11Protocol):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
                return
            # asyncio does so only where a socket says its protocol, which those that were accepted do not: without it
            # every answer waits 40 ms, until the client has acknowledged the head that was sent before the body
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._late is not None:
                self._late.cancel()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            self._await_head()
            super().on_response_complete()

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # it came in the middle of an answer
                self.transport.close()
                return
            answer = problem(400, "malformed", "this is no HTTP request that can be read, or its head is too large")
            headers = [*answer.raw_headers, (b"connection", b"close")]
            headers += [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _await_head(self) -> None:
            if self._late is not None:
                self._late.cancel()
            self._late = self.loop.call_later(limits.header_seconds, self._look)

        def _look(self) -> None:
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

    return Connection
