"""Browser sessions: a cookie that names a token, with a seal that only this service can make."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time

from automc import files
from automc.errors import ConfigError
from automc.service.tokens import Token, Tokens

COOKIE = "automc_session"

_SECONDS = 7 * 24 * 3600  # of a session
_KEY = re.compile("[0-9a-f]{64}")


class Sessions:
    """Makes and checks cookies; nothing is kept of them, so that a restart logs nobody out.

    The seal is an HMAC over name, end and the token's digest: with the token, its sessions are worth nothing, even
    where another of the same name is made. The key is a private file beside the tokens.

    Args:
        tokens: whose sessions.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._path = tokens.folder / "session.key"
        self._key: bytes | None = None

    def make(self, token: Token) -> tuple[str, int]:
        """Returns a cookie's value for a token, and in how many seconds it ends; raises ConfigError."""
        end = int(time.time()) + _SECONDS
        if token.expires is not None:
            end = min(end, int(token.expires.timestamp()))
        return f"{token.name}:{end}:{self._seal(token, end)}", max(1, end - int(time.time()))

    def find(self, value: str) -> tuple[Token, float] | None:
        """Returns the token that a cookie names and when its session ends; None where it is worth nothing.

        Raises:
            Damaged: the tokens cannot be read.
        """
        name, _, rest = value.partition(":")
        end, _, seal = rest.partition(":")
        token = self._tokens.named(name)
        if token is None or not re.fullmatch(r"\d{1,12}", end, re.ASCII) or int(end) <= time.time():
            return None
        if not hmac.compare_digest(self._seal(token, int(end)).encode(), seal.encode(errors="replace")):
            return None
        return token, float(end)

    def _seal(self, token: Token, end: int) -> str:
        said = f"{token.name}:{end}:{token.sha256}".encode()
        return hmac.new(self._read_key(), said, hashlib.sha256).hexdigest()

    def _read_key(self) -> bytes:
        if self._key is None:
            with self._tokens.locked():
                try:
                    text = self._path.read_text(encoding="ascii").strip()
                except (FileNotFoundError, UnicodeDecodeError):
                    text = ""
                except OSError as error:
                    raise ConfigError(f"cannot read {self._path}: {error.strerror or error}") from None
                if not _KEY.fullmatch(text):  # the first session, or a file that was damaged: its sessions end
                    text = secrets.token_hex(32)
                    files.write_text(self._path, text + "\n", private=True)
            self._key = bytes.fromhex(text)
        return self._key
