"""Who asks, and what asking needs."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Scope

from automc.service.security.origin import SAFE
from automc.service.tokens import LOCAL, Role

PREFIX = "/api/v1"

_OPEN = re.compile(r"/healthz|/readyz|/login|/logout|/static/.*")
# what a reader asks by POST, since it is too long for an address
_QUERY = re.compile(rf"{PREFIX}/tables/[^/]+/(?:query|network)")


@dataclass(frozen=True)
class Who:
    """Who asks.

    Attributes:
        name: a token's, or ``local`` where none is needed.
        role: what is allowed.
        digest: of the token; None where none is needed.
        ends: when a browser's session does, in seconds since 1970; None for no session.
    """

    name: str
    role: Role
    digest: str | None = None
    ends: float | None = None


EVERYBODY = Who(LOCAL, "runner")
"""Whoever asks where no token is needed."""


def is_open(path: str) -> bool:
    """Says whether a path is answered to everybody."""
    return _OPEN.fullmatch(path) is not None


def changes(method: str, path: str) -> bool:
    """Says whether a request may change something, and so needs a runner. What is new here does, until it is named."""
    return method not in SAFE and not (method == "POST" and _QUERY.fullmatch(path))


def who_of(request: Request) -> Who | None:
    """Returns who asks, as was found out before; None where that is not known."""
    found: Who | None = request.scope.get("state", {}).get("who")
    return found


def client_of(scope: Scope) -> str:
    """Returns whose limits a request counts for: a token's, or an address's (of IPv6 the network of a household)."""
    who: Who | None = scope.get("state", {}).get("who")
    if who is not None and who.digest is not None:
        return f"token {who.name}"
    return address_of(scope)


def address_of(scope: Scope) -> str:
    """Returns the address whose limits a request without a token counts for."""
    host = str((scope.get("client") or ("",))[0])
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_page(request: Request) -> bool:
    """Says whether a browser asks for a page, to be looked at by somebody."""
    wants = "text/html" in request.headers.get("accept", "")
    return request.method in ("GET", "HEAD") and wants and not request.scope["path"].startswith(PREFIX)
