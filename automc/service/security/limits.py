"""How much one client may ask for: numbers, token buckets, open streams."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the service bears.

    Attributes:
        rate: requests a second of one client.
        burst: requests that it may make at once.
        campaigns: campaigns that it may start in a minute, and at once.
        uploads: tables that it may upload in a minute, and at once.
        logins: failed logins of one address at once; one more every half minute.
        streams: event streams of all clients.
        streams_each: event streams of one client.
        body: bytes of a body.
        table: bytes of an uploaded table.
        depth: how deep JSON may be nested.
        body_seconds: in which a body must have come.
        header_seconds: in which a request's head must have come.
        header: bytes of a request's head.
        connections: open at a time.
    """

    rate: float = 1000
    burst: float = 2000
    campaigns: float = 30
    uploads: float = 30
    logins: float = 10
    streams: int = 256
    streams_each: int = 32
    body: int = 1 << 20
    table: int = 16 << 20
    depth: int = 64
    body_seconds: float = 30
    header_seconds: float = 10
    header: int = 16 << 10
    connections: int = 768


class Buckets:
    """A token bucket for each client.

    Args:
        rate: how much flows in, a second.
        size: how much a full one has.
    """

    _MOST = 4096  # clients that are remembered

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size = rate, size
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Returns in how many seconds a client may go on; 0 for at once."""
        return max(0.0, (1 - self._filled(client)) / self._rate)

    def take(self, client: str) -> float:
        """Takes one, where there is one; returns what `wait` does."""
        left = self._filled(client)
        if left < 1:
            return (1 - left) / self._rate
        self._left[client] = (left - 1, time.monotonic())
        self._left.move_to_end(client)
        if len(self._left) > self._MOST:
            self._left.popitem(last=False)  # who asked longest ago: its bucket is the fullest
        return 0.0

    def _filled(self, client: str) -> float:
        left, when = self._left.get(client, (self._size, 0.0))
        return min(self._size, left + (time.monotonic() - when) * self._rate)


class Streams:
    """Counts what is open.

    Args:
        most: of all clients.
        each: of one client.
    """

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._open: Counter[str] = Counter()

    def full(self, client: str) -> str | None:
        """Says why a client may open no other one; None where it may."""
        if self._open[client] >= self._each:
            return f"you have {self._each} event streams open, and may have no more: close one"
        if self._open.total() >= self._most:
            return f"{self._most} event streams are open, and there may be no more: try again later"
        return None

    def opened(self, client: str) -> None:
        """Counts one."""
        self._open[client] += 1

    def closed(self, client: str) -> None:
        """Counts one no more."""
        self._open[client] -= 1
        if self._open[client] <= 0:
            del self._open[client]
