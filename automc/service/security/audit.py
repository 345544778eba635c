"""The audit log: who changed what, and what was refused."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automc import progress
from automc.errors import ConfigError, one_line
from automc.service.security.limits import Buckets
from automc.service.security.who import PREFIX, changes, client_of, who_of

_BYTES, _FILES = 10 << 20, 5  # of one file; older files
_REFUSED = (401, 403, 408, 413, 421, 429, 431, 503)
_CAMPAIGN = re.compile(rf"{PREFIX}/campaigns/([^/]+).*")
_LONGEST = 300  # characters of a path


class _Handler(logging.handlers.RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        """Says so, in a line; requests go on."""
        progress.say(f"the audit log cannot be written: {self.baseFilename}")


class AuditLog:
    """``audit.log`` of a folder, one JSON object a line, kept from being larger than 60 MiB.

    Args:
        folder: where it lies.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handler = _Handler(folder / "audit.log", maxBytes=_BYTES, backupCount=_FILES)
        except OSError as error:
            raise ConfigError(f"cannot write {folder / 'audit.log'}: {one_line(error)}") from None
        # a flood of refused requests must not wash away who did what
        self._refused = Buckets(rate=1, size=60)
        self._left_out = 0

    def close(self) -> None:
        """Closes the file."""
        self._handler.close()

    def write(self, line: dict[str, Any], refused: bool, client: str) -> None:
        """Writes a line; of those refused no more than one a second of a client, after the first 60."""
        if refused and self._refused.take(client) > 0:
            self._left_out += 1
            return
        if self._left_out:
            line, self._left_out = line | {"left_out": self._left_out}, 0
        text = json.dumps(line)  # in ASCII, so that nothing in a path can begin another line
        self._handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, text, None, None))


class Audit:
    """ASGI middleware that writes a line for each request that may change something, and for each that is refused."""

    def __init__(self, app: ASGIApp, log: AuditLog) -> None:
        self._app, self._log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        made = changes(scope["method"], scope["path"])
        starts = made and scope["path"] == f"{PREFIX}/campaigns"
        status, body = 0, bytearray()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif starts and status == 201:
                body.extend(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            refused = status in _REFUSED
            if made or refused:
                self._log.write(_line(Request(scope), status, bytes(body)), refused, client_of(scope))


def _line(request: Request, status: int, body: bytes) -> dict[str, Any]:
    who, found = who_of(request), _CAMPAIGN.fullmatch(request.scope["path"])
    campaign = found[1] if found else None
    if body:  # a new one: its name may be of the server's choice
        try:
            campaign = json.loads(body)["name"]
        except (ValueError, KeyError, TypeError):
            campaign = None
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "who": None if who is None else who.name,
        "address": request.client.host if request.client else None,
        "method": request.method[:20],
        "path": request.scope["path"][:_LONGEST],
        "status": status or None,
        "campaign": None if campaign is None else str(campaign)[:80],
    }
