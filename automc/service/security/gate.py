"""The gate: which requests come in, and as whose."""

from __future__ import annotations

import math
import re
import time

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from automc.errors import AutoMCError
from automc.service.problems import Refused
from automc.service.security.bodies import refuse
from automc.service.security.limits import Buckets, Limits, Streams
from automc.service.security.origin import Origins
from automc.service.security.sessions import COOKIE, Sessions
from automc.service.security.who import EVERYBODY, PREFIX, Who, changes, client_of, is_open, is_page, who_of
from automc.service.tokens import Damaged, Tokens

_BEARER = re.compile(r"[Bb]earer +(\S+)")
_PROXIED = ("forwarded", "x-forwarded-for", "via")


class Gate:
    """Says of each request whether it comes in.

    Args:
        tokens: who may.
        sessions: of browsers.
        origins: names of the server.
        limits: of one client.
        required: whether a token is needed even where there are none.
    """

    def __init__(self, tokens: Tokens, sessions: Sessions, origins: Origins, limits: Limits, required: bool) -> None:
        self._tokens, self._sessions, self._origins = tokens, sessions, origins
        self._limits, self._required = limits, required
        self.streams = Streams(limits.streams, limits.streams_each)
        self._all = Buckets(limits.rate, limits.burst)
        self._few = {
            f"{PREFIX}/campaigns": Buckets(limits.campaigns / 60, limits.campaigns),
            f"{PREFIX}/tables": Buckets(limits.uploads / 60, limits.uploads),
        }

    @property
    def needs_token(self) -> bool:
        """Whether a token is needed now."""
        return self._required or self._tokens.needed

    def admit(self, request: Request) -> None:
        """Finds out who asks, and notes that in the request.

        Raises:
            Refused: it does not come in.
        """
        scope, path = request.scope, request.scope["path"]
        head = sum(len(name) + len(value) for name, value in scope["headers"])
        if head + len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self._limits.header:
            raise Refused(431, "headers_too_large", f"the request's head is larger than {self._limits.header:,} bytes")
        self._origins.check(request)
        try:
            if not is_open(path):
                scope.setdefault("state", {})["who"] = self._who(request)
        finally:  # who is not known counts by address
            self._spend(self._all, client_of(scope), "requests")
        if who_of(request) is not None:
            self._check_role(request)
        if request.method == "POST" and path in self._few:
            self._spend(self._few[path], client_of(scope), f"requests to {path}")

    def still_allowed(self, request: Request) -> bool:
        """Says whether whoever began a request would still be let in."""
        who = who_of(request)
        if who is None:
            return is_open(request.scope["path"])
        if who.digest is None:
            return not self.needs_token
        if who.ends is not None and who.ends <= time.time():
            return False
        try:
            token = self._tokens.known(who.digest)
        except Damaged:
            return False
        return token is not None and token.role == who.role

    def _who(self, request: Request) -> Who:
        if not self.needs_token:
            if any(name in request.headers for name in _PROXIED):
                raise Refused(403, "proxied", "a service behind a proxy needs tokens: automc token create NAME")
            return EVERYBODY
        given, cookie = request.headers.get("authorization"), request.cookies.get(COOKIE)
        try:
            if given is not None:
                found = _BEARER.fullmatch(given)
                token = self._tokens.find(found[1]) if found else None
                if token is None:
                    raise _unknown("the token is wrong, revoked or expired", error='error="invalid_token"')
                return Who(token.name, token.role, token.sha256)
            session = self._sessions.find(cookie) if cookie else None
        except Damaged:
            raise Refused(
                503, "tokens_damaged", "the file of tokens is damaged; the server's operator must mend it"
            ) from None
        if session is None:
            raise _unknown("log in, or send a token: Authorization: Bearer TOKEN")
        token, ends = session
        # a form of another site can send a cookie where a browser knows no SameSite, but no such header
        if changes(request.method, request.scope["path"]) and request.headers.get("x-automc") != "1":
            raise Refused(403, "cross_site", "by cookie, what changes something needs the header X-AutoMC: 1")
        return Who(token.name, token.role, token.sha256, ends)

    def _check_role(self, request: Request) -> None:
        who = who_of(request)
        if who is not None and who.role != "runner" and changes(request.method, request.scope["path"]):
            raise Refused(
                403,
                "role",
                f"'{who.name}' is a reader; this needs a runner's token",
                {"WWW-Authenticate": 'Bearer realm="automc", error="insufficient_scope"'},
            )

    def _spend(self, buckets: Buckets, client: str, what: str) -> None:
        wait = buckets.take(client)
        if wait > 0:
            raise too_many(f"too many {what}", wait)


class Gated:
    """ASGI middleware around what is behind the gate."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks anything else
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope)
        try:
            self._gate.admit(request)
            client, streams = client_of(scope), None
            if scope["path"].endswith("/events"):
                streams = self._gate.streams
                if (why := streams.full(client)) is not None:
                    raise too_many(why, 10)
        except AutoMCError as error:
            if is_page(request) and isinstance(error, Refused) and error.status == 401:
                await RedirectResponse("/login", 303)(scope, receive, send)
            else:
                await refuse(error, scope, receive, send)
            return
        if streams is None:
            await self._app(scope, receive, send)
            return
        streams.opened(client)
        try:
            await self._app(scope, receive, send)
        finally:
            streams.closed(client)


def too_many(what: str, wait: float) -> Refused:
    """Returns what says that a client must wait so many seconds."""
    seconds = math.ceil(wait)
    return Refused(429, "too_many", f"{what}; try again in {seconds} s", {"Retry-After": str(seconds)})


def _unknown(what: str, error: str = "") -> Refused:
    challenge = 'Bearer realm="automc"' + (f", {error}" if error else "")
    return Refused(401, "token", what, {"WWW-Authenticate": challenge})
