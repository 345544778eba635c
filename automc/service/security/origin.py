"""Which site a request is from: against other sites' pages in a user's browser, and names that lead here by fraud."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import Request

from automc.service.problems import Refused

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1)."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_PORTS = {"http": "80", "https": "443"}


def is_loopback(host: str) -> bool:
    """Says whether a host is this machine only: a loopback address, or ``localhost``."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class Origins:
    """The hosts by which the service may be asked.

    A page of another site whose name has come to lead to this address (DNS rebinding) says that name as ``Host``.

    Args:
        hosts: names beside those of this machine and the address that a connection came to.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._hosts = {host.lower().strip("[]").rstrip(".") for host in hosts}

    def check(self, request: Request) -> None:
        """Raises Refused where a request comes by another name, or from another site's page."""
        hosts = request.headers.getlist("host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        server = request.scope.get("server") or ("",)
        if found is None or not self._known(found[1], str(server[0])):
            raise Refused(421, "host", "the server is not known by this Host; its operator names it: --allowed-host")
        self._check_site(request, hosts[0])

    def _known(self, host: str, server: str) -> bool:
        name = host.lower().strip("[]").rstrip(".")
        return is_loopback(host) or name in self._hosts or name == server

    def _check_site(self, request: Request, host: str) -> None:
        site = request.headers.get("sec-fetch-site", "none")
        safe = request.method in SAFE
        # following a link to here is fine; a script or picture of another page has no business here
        followed = safe and request.headers.get("sec-fetch-mode") == "navigate"
        foreign = site not in ("none", "same-origin") and not followed
        origin = request.headers.get("origin")
        if not safe and origin is not None:
            foreign = foreign or not _same(origin, host)
        if foreign:
            raise Refused(403, "cross_site", "this request is from another site's page")


def _same(origin: str, host: str) -> bool:
    """Says whether an ``Origin`` is the site of a ``Host``; which scheme a proxy was asked by is not known here."""
    try:
        parts = urlsplit(origin)
        port = str(parts.port or _PORTS[parts.scheme])
    except (ValueError, KeyError):
        return False
    found = _HOST.fullmatch(host)
    return (
        found is not None
        and (parts.hostname or "") == found[1].lower().strip("[]")
        and port == (found[2] or _PORTS[parts.scheme])
    )
