"""The line to a device far away: one request, one answer, or one line saying what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from automc.devices.addresses import PORT, TOKEN, TOKEN_FILE
from automc.devices.protocol import read_json
from automc.errors import ConfigError, RuntimeFailure

_CONNECT, _READ = 5.0, 15.0  # seconds; an answer is held back for less than the second
_LARGEST = 1 << 28  # bytes of an answer
_PART = 1 << 16
_GATEWAY = (502, 503, 504)  # what something between says when it does not reach the device


class Lost(Exception):
    """The device does not answer; it may again."""


class Unknown(Exception):
    """The device does not know the job: it was started anew, or had forgotten it."""


class Line:
    """Requests to one device.

    Args:
        url: ``http://host:port``.
        token: the secret that its owner gave.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.url = address(url, "a device", PORT)
        if token is None:
            raise ConfigError(
                f"{self.url}: no token; set {TOKEN} (or {TOKEN_FILE}) to what `automc device serve` printed there"
            )
        self._client = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(_READ, connect=_CONNECT),
            trust_env=False,  # no proxy is told the token
        )

    def ask(self, method: str, path: str, file: Path | None = None, **options: Any) -> dict[str, Any]:
        """Returns what the device answers.

        Args:
            method: of HTTP.
            path: behind the address.
            file: a file to send.
            **options: further ones of the client.

        Raises:
            Lost: it does not answer.
            Unknown: it does not know the job.
            ConfigError: it does not accept the token.
            RuntimeFailure: it refuses, or what answers is no such device.
        """
        if file is not None:
            options["headers"] = {"Content-Length": str(file.stat().st_size)}
            options["content"] = _read(file)
        body = b""
        try:
            with self._client.stream(method, path, **options) as response:
                for part in response.iter_bytes():
                    body += part
                    if len(body) > _LARGEST:
                        raise self._stranger("an answer without end")
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise Lost(short(error, _READ)) from None
        try:
            answer = read_json(body)
        except ValueError:
            answer = None
        if response.status_code in _GATEWAY and not isinstance(answer, dict):
            raise Lost(f"HTTP {response.status_code}")
        if not isinstance(answer, dict):
            raise self._stranger(f"HTTP {response.status_code} with something that is no JSON map, or not finite")
        if response.is_success:
            return answer
        code, message = str(answer.get("code", ""))[:40], " ".join(str(answer.get("message", "")).split())[:400]
        if response.status_code == 401:
            raise ConfigError(f"{self.url}: the device does not accept the token; set {TOKEN} to what it printed")
        if code == "unknown_job":
            raise Unknown
        raise RuntimeFailure(f"{self.url}: {message or f'HTTP {response.status_code}'}")

    def _stranger(self, what: str) -> RuntimeFailure:
        return RuntimeFailure(
            f"{self.url} answers, but not as a device of AutoMC does ({what}); is `automc device serve` on that port?"
        )


def address(url: str, whose: str, port: int) -> str:
    """Returns an address in one form; raises ConfigError without repeating what may hold a password.

    Args:
        url: as it was given.
        whose: what it is the address of.
        port: that an example has.
    """
    example = f"{whose}'s address looks like http://host:{port}"
    try:
        parts = urlsplit(url)
        given = parts.port
    except ValueError:
        raise ConfigError(f"{example}: the one given has a port that is no number, or a bad host") from None
    if parts.username is not None or parts.query or parts.fragment or parts.path not in ("", "/"):
        raise ConfigError(f"{example}, with nothing before the host and nothing behind the port")
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:%-]+", host):
        raise ConfigError(f"{example}, not like '{url[:80]}'")
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{given}' if given is not None else ''}"


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while part := opened.read(_PART):
            yield part


def short(error: Exception, seconds: float) -> str:
    """Returns why a request failed, in a few words; ``seconds`` are those that an answer may take."""
    if isinstance(error, httpx2.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx2.TimeoutException):
        return f"no answer for {seconds:g} s"
    return " ".join(str(error).split())[:120] or type(error).__name__
