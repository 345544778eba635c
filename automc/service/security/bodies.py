"""Bodies: how large, how slow and how deeply nested they may be; and refusing whoever still sends one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automc.service.problems import Refused, answer
from automc.service.security.limits import Limits

_LINGERS = 1.0  # seconds, and bytes, that are read of a body that was refused
_MOST_LINGERING = 64 << 20
_LONG = 32 << 10  # bytes of JSON that are looked through in another thread

# All of a string, or one bracket. Each byte is looked at once: a string without an end takes the rest.
_PIECE = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class Bodies:
    """ASGI middleware that takes a request's body in whole before anything else looks at it.

    FastAPI's own `max_body_size` would answer a declared length by plain text, and knows no time.

    Args:
        app: who answers.
        limits: of bodies.
        most: how many bytes a request may have.
    """

    def __init__(self, app: ASGIApp, limits: Limits, most: Callable[[str, str], int]) -> None:
        self._app, self._limits, self._most = app, limits, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers."""
        if scope["type"] != "http" or not _has_body(Request(scope)):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Request(scope, receive), self._most(scope["method"], scope["path"]))
        except Refused as error:
            await refuse(error, scope, receive, send)
            return
        if body is None:  # whoever asked is gone
            return
        if "json" in Request(scope).headers.get("content-type", "json") and await self._deep(body):
            deep = Refused(400, "too_deep", f"the JSON is nested more than {self._limits.depth} deep")
            await answer(deep)(scope, receive, send)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    async def _read(self, request: Request, most: int) -> bytes | None:
        large = Refused(413, "too_large", f"the body is too large: at most {most:,} bytes are taken here")
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > most:
            raise large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise large
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Refused(
                408, "slow", f"the body did not come within {self._limits.body_seconds:g} s; send it again"
            ) from None
        return bytes(body)

    async def _deep(self, body: bytes) -> bool:
        if len(body) < _LONG:
            return _is_deep(body, self._limits.depth)
        return await asyncio.to_thread(_is_deep, body, self._limits.depth)


async def refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers by a problem. Ends the connection where a body is under way: nobody wants the rest of it."""
    response = answer(error)
    if not _has_body(Request(scope)):
        await response(scope, receive, send)
        return
    response.headers["connection"] = "close"
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    # a connection that is closed on data that was not read is reset, and the answer may be lost
    read = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGERS):
            while read < _MOST_LINGERING:
                message = await receive()
                read += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _is_deep(text: bytes, most: int) -> bool:
    depth = 0
    for piece in _PIECE.finditer(text):
        first = text[piece.start()]
        if first in b"[{":
            depth += 1
            if depth > most:
                return True
        elif first in b"]}":
            depth -= 1
    return False
