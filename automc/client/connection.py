"""Requests to a server: asked again where that is safe, and every problem told as the error that it is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import TypeAdapter, ValidationError

from automc import files, progress
from automc.devices.line import address, short
from automc.errors import AutoMCError, ConfigError, Conflict, Invalid, NotFound, RuntimeFailure, TableError

PREFIX, PORT = "/api/v1", 8000
TOKEN = "AUTOMC_TOKEN"

PATIENCE = 60.0
"""Seconds for which a server that has gone away is asked again."""

_CONNECT, _READ = 5.0, 30.0  # seconds
_SILENT = 60.0  # seconds in which a stream says nothing at all before it is taken for dead
_PAUSE = 1.0  # seconds between two attempts where the server does not say how many
_GATEWAY = (502, 503, 504)
_TOLD = 1 << 20  # bytes of a problem that are read

_KINDS: dict[str, Callable[[str], AutoMCError]] = {
    "not_found": NotFound,
    "conflict": Conflict,
    "table": TableError,
    "device": RuntimeFailure,
}

T = TypeVar("T")


class Lost(RuntimeFailure):
    """The server does not answer, or says that it cannot for a while.

    Args:
        message: what there is to say.
        refused: whether there is no connection at all.
        pause: seconds that it asks to wait for.
    """

    def __init__(self, message: str, refused: bool = False, pause: float | None = None) -> None:
        super().__init__(message)
        self.refused, self.pause = refused, _PAUSE if pause is None else pause


class Connection:
    """Requests to one server.

    Args:
        url: its address, ``http://host:port``.
        token: what it lets in, if it asks for any.
        patience: seconds for which it is asked again when it stops answering.

    Raises:
        ConfigError: the address is none, or the token cannot be one.
    """

    def __init__(self, url: str, token: str | None, patience: float = PATIENCE) -> None:
        self.url, self.patience = address(url, "a server", PORT), patience
        if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ConfigError(f"{TOKEN}: that is no token; set it to what your server's operator gave you")
        self._client = httpx2.Client(
            base_url=self.url + PREFIX,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(_READ, connect=_CONNECT),
            trust_env=False,  # no proxy is told the token
            follow_redirects=False,  # nor anybody whom a server names
        )
        self._answered = False

    def close(self) -> None:
        """Closes it."""
        self._client.close()

    def ask(self, kind: type[T], method: str, *path: str | int, again: bool = False, **options: Any) -> T:
        """Returns what the server answers.

        Args:
            kind: the type that the answer has.
            method: of HTTP.
            *path: its parts, unquoted.
            again: whether asking again does no harm; it never does for GET.
            **options: further ones of the client.

        Raises:
            AutoMCError: as the contracts of `automc.workspace` say; ConfigError for a token that it does not accept;
                RuntimeFailure where it does not answer, or is no such server.
        """
        body = self.send(method, *path, again=again or method == "GET", **options)
        try:
            return TypeAdapter(kind).validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the answer"
            raise self._stranger(f"{where}: {first['msg']}") from None

    def send(self, method: str, *path: str | int, again: bool = False, **options: Any) -> bytes:
        """Returns the body of what the server answers; see `ask`."""

        def once() -> bytes:
            with self.stream(method, *path, **options) as response:
                return response.read()

        if again:
            return self.insist(once)
        try:
            return once()
        except Lost as error:
            rest = "" if error.refused else "; it may have been done all the same: look before you ask again"
            raise RuntimeFailure(f"{error}{rest}") from None

    def download(self, to: Path, *path: str | int) -> None:
        """Writes what the server answers to a file, whole or not at all; raises as `ask` does."""

        def once() -> None:
            with (
                files.replacing(to) as temporary,
                self.stream("GET", *path) as response,
                temporary.open("wb") as file,
            ):
                for part in response.iter_bytes():
                    file.write(part)

        self.insist(once)

    def events(self, *path: str | int, last: str = "") -> Iterator[httpx2.ServerSentEvent]:
        """Yields events after the one with the identifier ``last`` until the stream breaks off; raises as `ask` does.

        Raises:
            Lost: it broke off where more was to come, or as far as one can tell.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        timeout = httpx2.Timeout(_SILENT, connect=_CONNECT)
        with self.stream("GET", *path, headers=headers, timeout=timeout) as response:
            yield from httpx2.EventSource(response)

    def insist(self, action: Callable[[], T]) -> T:
        """Returns what an action returns, done again while the server cannot be reached; raises what it raises."""
        began, told = time.monotonic(), False
        while True:
            try:
                return action()
            except Lost as error:
                if not self.waits_for(error, began):
                    raise
                if not told:
                    progress.say(f"{error}; asking again")
                    told = True
                time.sleep(error.pause)

    def waits_for(self, error: Lost, since: float) -> bool:
        """Says whether to ask again: not where it never answered, as the address is wrong then, more likely than not.

        Args:
            error: what happened.
            since: when it began to.
        """
        return (self._answered or not error.refused) and time.monotonic() + error.pause - since <= self.patience

    @contextmanager
    def stream(self, method: str, *path: str | int, **options: Any) -> Iterator[httpx2.Response]:
        """Yields an answer that tells of success; waits where the server asks for less. Raises as `ask` does."""
        where = "/" + "/".join(_part(part) for part in path)
        until = time.monotonic() + self.patience
        while True:
            try:
                with self._client.stream(method, where, **options) as response:
                    self._answered = True
                    if response.status_code == 429 and (pause := _after(response)) <= until - time.monotonic():
                        time.sleep(pause)
                        continue
                    if not response.is_success:
                        raise self._problem(response)
                    yield response
                    return
            except (httpx2.RequestError, httpx2.StreamError) as error:
                raise self._lost(error) from None

    def _lost(self, error: Exception) -> Lost:
        refused = isinstance(error, httpx2.ConnectError)
        hint = "; is `automc serve` running there?" if refused else ""
        return Lost(f"{self.url} does not answer ({short(error, _READ)}){hint}", refused)

    def _problem(self, response: httpx2.Response) -> AutoMCError:
        """Returns what a problem+json stands for."""
        status, told = response.status_code, _told(response)
        code = str(told.get("code", ""))
        detail = " ".join(str(told.get("detail", "")).split())[:1000]
        if status == 401:
            return ConfigError(f"{self.url} does not let you in; set {TOKEN} to a token that its operator gave you")
        if status == 403:
            why = f" ({detail})" if detail else ""
            return ConfigError(f"{self.url} does not allow this{why}; set {TOKEN} to a token that may")
        if status in _GATEWAY and code != "device":
            return Lost(f"{self.url}: {detail or f'HTTP {status}'}", pause=_after(response))
        if not detail:
            return self._stranger(f"HTTP {status}")
        fields = told.get("fields")
        mistakes = [
            (str(one.get("field")), str(one.get("message")))
            for one in (fields if isinstance(fields, list) else [])
            if isinstance(one, dict)
        ]
        if code == "invalid" and mistakes:
            if all(where.startswith("path.") for where, _ in mistakes):  # no such thing can be there
                return NotFound(f"{self.url} has nothing of that name ({detail})")
            return Invalid(mistakes)
        return _KINDS.get(code, ConfigError)(detail)

    def _stranger(self, what: str) -> RuntimeFailure:
        return RuntimeFailure(
            f"{self.url} answers, but not as this AutoMC expects ({what[:200]}); is `automc serve` of the same version "
            "on that port?"
        )


def _told(response: httpx2.Response) -> dict[str, Any]:
    """Returns a problem's fields; none where it is no problem+json."""
    body = b""
    for part in response.iter_bytes():
        body += part
        if len(body) > _TOLD:
            return {}
    try:
        found: dict[str, Any] = TypeAdapter(dict[str, Any]).validate_json(body)
    except ValidationError:
        return {}
    return found


def _after(response: httpx2.Response) -> float:
    """Returns how many seconds a server asks to wait for."""
    said = response.headers.get("Retry-After", "")
    return max(float(said), 0.05) if re.fullmatch(r"\d{1,6}", said) else _PAUSE


def _part(part: str | int) -> str:
    """Returns a part of a path, quoted; raises NotFound for what a path cannot have and nothing is called."""
    if part in ("", ".", ".."):
        raise NotFound(f"nothing is called '{part}'")
    return quote(str(part), safe="")
