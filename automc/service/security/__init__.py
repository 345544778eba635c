"""What keeps the service safe: who may ask, from where, how much, and what is written down of it."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import ASGIApp

from automc.service.security.audit import Audit, AuditLog
from automc.service.security.bodies import Bodies
from automc.service.security.gate import Gate, Gated
from automc.service.security.headers import SecurityHeaders
from automc.service.security.limits import Buckets, Limits
from automc.service.security.origin import Origins
from automc.service.security.sessions import Sessions
from automc.service.security.who import PREFIX
from automc.service.tokens import Tokens

__all__ = ["Limits", "Security"]

_LOGIN = 4 << 10  # bytes


class Security:
    """What is around the application.

    Args:
        tokens: who may ask.
        required: whether a token is needed even where there are none.
        hosts: names by which the server may be asked, beside those of this machine.
        limits: what it bears.

    Raises:
        ConfigError: the audit log cannot be written.

    Attributes:
        failures: failed logins of each address.
    """

    def __init__(
        self,
        tokens: Tokens | None = None,
        required: bool = False,
        hosts: Iterable[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self.tokens = tokens or Tokens()
        self.limits = limits or Limits()
        self.sessions = Sessions(self.tokens)
        self.gate = Gate(self.tokens, self.sessions, Origins(hosts), self.limits, required)
        self.log = AuditLog(self.tokens.folder)
        self.failures = Buckets(rate=1 / 30, size=self.limits.logins)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Returns an application that answers only what is let in."""
        return SecurityHeaders(Audit(Gated(Bodies(app, self.limits, self._most), self.gate), self.log))

    async def still_allowed(self, request: Request) -> bool:
        """Says whether whoever began a request would still be let in: its token may be revoked meanwhile."""
        return self.gate.still_allowed(request)

    def _most(self, method: str, path: str) -> int:
        if path == f"{PREFIX}/tables":
            return self.limits.table
        return _LOGIN if path == "/login" else self.limits.body
