"""Tokens: who may read, and who may run. Kept as digests, so that the file lets nobody in."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from automc import files
from automc.errors import AutoMCError, ConfigError, Conflict, NotFound, nearest

Role = Literal["reader", "runner"]

LOCAL = "local"
"""Who asks on a machine without tokens."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_MOST = 4 << 20  # bytes of the file


class Damaged(ConfigError):
    """The file of tokens cannot be read: nobody is let in."""


class Token(BaseModel):
    """What is kept of a token.

    Attributes:
        name: whose it is.
        role: what it allows.
        sha256: its digest. A token has 256 random bits, which nobody guesses, so that no slow digest is needed.
        last: its last four characters, to recognize it by.
        created: when it was made.
        expires: from when on it is worth nothing; None for never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=f"^{_NAME}$")
    role: Role
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    last: str = Field(max_length=4)
    created: datetime
    expires: datetime | None = None

    @field_validator("created", "expires")
    @classmethod
    def _has_a_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time needs a zone")
        return value

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    tokens: tuple[Token, ...] = ()


class Tokens:
    """The tokens of a folder. Any number of processes may read and change them.

    Args:
        folder: where ``tokens.json`` lies; by default among the user's data.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or files.home() / "service"
        self.path = self.folder / "tokens.json"
        self._stamp: tuple[int, int, int] | None = None
        self._known: dict[str, Token] | Damaged = {}

    @property
    def needed(self) -> bool:
        """Whether a token is needed: once there is the file, even where all that were in it are revoked."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError:  # what cannot be looked at may be there
            return True
        return True

    def all(self) -> list[Token]:
        """Returns all of them, expired ones too; raises Damaged."""
        return list(self._read().values())

    def find(self, secret: str) -> Token | None:
        """Returns the token that a secret is, unless it is unknown or expired; raises Damaged."""
        return self.known(hashlib.sha256(secret.encode(errors="replace")).hexdigest())

    def known(self, digest: str) -> Token | None:
        """Returns the token of a digest, unless it is unknown or expired; raises Damaged."""
        token = self._read().get(digest)
        return None if token is None or token.expired else token

    def named(self, name: str) -> Token | None:
        """Returns the token of a name, unless it is unknown or expired; raises Damaged."""
        return next((token for token in self._read().values() if token.name == name and not token.expired), None)

    def create(self, name: str, role: Role, days: float | None = None) -> tuple[Token, str]:
        """Makes a token.

        Args:
            name: whose it is.
            role: what it allows.
            days: how long; None for ever.

        Returns:
            What is kept of it, and itself: nobody can ask for it again.

        Raises:
            ConfigError: the name makes no sense.
            Conflict: there is one of that name.
            Damaged: the file cannot be read.
        """
        if not re.fullmatch(_NAME, name) or name == LOCAL:
            raise ConfigError(f"'{name[:80]}' is no name for a token: letters, digits, '.', '_' and '-', not '{LOCAL}'")
        secret = f"automc_{secrets.token_urlsafe(32)}"  # a prefix by which scanners find tokens in what is published
        now = datetime.now(UTC).replace(microsecond=0)
        token = Token(
            name=name,
            role=role,
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            last=secret[-4:],
            created=now,
            expires=None if days is None else now + timedelta(days=days),
        )
        with self.locked():
            there = self.all()
            if any(one.name == name for one in there):
                raise Conflict(
                    f"there is a token '{name}' already; choose another name, or: automc token revoke {name}"
                )
            self._write([*there, token])
        return token, secret

    def revoke(self, name: str) -> Token:
        """Makes a token worth nothing, at once; raises NotFound, Damaged."""
        with self.locked():
            there = {token.name: token for token in self.all()}
            if name not in there:
                raise NotFound(f"no token '{name[:80]}'{nearest(name, there)}")
            revoked = there.pop(name)
            self._write(list(there.values()))
        return revoked

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lets one process at a time change the folder; raises ConfigError where it cannot be written to."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot write to {self.folder}: {error.strerror or error}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, tokens: list[Token]) -> None:
        text = _File(tokens=tuple(tokens)).model_dump_json(indent=1)
        files.write_text(self.path, text + "\n", private=True)

    def _read(self) -> dict[str, Token]:
        try:
            stamp = _stamp(self.path.stat())
            if stamp != self._stamp:
                with self.path.open("rb") as file:
                    stamp = _stamp(os.fstat(file.fileno()))
                    self._known = _parsed(file.read(_MOST + 1), self.path)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._known = None, {}
        except OSError as error:
            raise Damaged(f"{self.path}: cannot be read: {error.strerror or error}") from None
        if isinstance(self._known, Damaged):
            raise Damaged(str(self._known))  # a new one: an error grows with every time that it is raised
        return self._known


def _stamp(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _parsed(text: bytes, path: Path) -> dict[str, Token] | Damaged:
    try:
        data = json.loads(text) if len(text) <= _MOST else None
        if not isinstance(data, dict):
            raise Damaged(f"{path}: it is no file of tokens")
        tokens = files.parse(data, _File, Damaged, str(path)).tokens
        if len({token.name for token in tokens}) < len(tokens):
            raise Damaged(f"{path}: two tokens have the same name")
    except (AutoMCError, ValueError, RecursionError) as error:
        said = str(error) if isinstance(error, Damaged) else f"{path}: not valid JSON"
        return Damaged(f"{said}; mend it, or delete it and create tokens anew: automc token create NAME")
    return {token.sha256: token for token in tokens}
