"""What databases raise, told apart: away for the moment, refusing, or damaged."""

from __future__ import annotations

import sqlite3

from optuna.exceptions import StorageInternalError

from automc.errors import ConfigError, lacking

# PostgreSQL's codes: connection gone; too many of them; locks; shutting down or starting up; two that got in each
# other's way (appendix A of its manual)
_AWAY = ("08", "53300", "55P03", "57P", "40001", "40P01")
# Refusals to let somebody in come without a code, and in the server's language: these are only the usual ones
_REFUSES = (
    "password authentication failed",
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied",
    "is not permitted to log in",
    "does not support SSL",
    "certificate",
)
_LOCKED = ("database is locked", "database table is locked", "database schema is locked")


class Away(ConfigError):
    """A database does not answer, and may come back by itself."""


def told(error: BaseException, where: str) -> ConfigError:
    """Returns what a database raised as one line that says what to do.

    Args:
        error: what it raised, as SQLAlchemy, gRPC or SQLite give it, or Optuna wraps it.
        where: its URL, without a password.

    Returns:
        An `Away` where it may come back by itself.
    """
    cause = _first(error)
    said = _line(cause)
    if lacking(error):
        return ConfigError(f"cannot write {where}: {said}")
    if _is_away(cause):
        return Away(f"{where}: nobody answers ({said}); start it, or name another --storage")
    if _refuses(cause):
        return ConfigError(f"{where}: the database refuses ({said}); mend the URL, or let the user in")
    return ConfigError(f"{where}: the journal is damaged or cannot be written ({said})")


def _first(error: BaseException) -> BaseException:
    """Returns what a driver raised, without what was wrapped around it."""
    while True:
        inner = getattr(error, "orig", None)
        if inner is None and isinstance(error, StorageInternalError):
            inner = error.__cause__
        if inner is None:
            return error
        error = inner


def _is_away(error: BaseException) -> bool:
    if isinstance(error, ConnectionError):  # the proxy's, at the first contact
        return True
    if isinstance(error, sqlite3.Error):
        return any(words in str(error) for words in _LOCKED)
    if (code := _rpc_code(error)) is not None:
        return code in ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED")
    if not _from_postgres(error) or _refuses(error):
        return False
    import psycopg

    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_AWAY)
    # the connection: refused, reset, timed out, closed; the database is starting up
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))


def _refuses(error: BaseException) -> bool:
    if not _from_postgres(error):
        return False
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state).startswith(("28", "3D", "42501"))
    return any(words in str(error) for words in _REFUSES)


def _from_postgres(error: BaseException) -> bool:
    return type(error).__module__.startswith("psycopg")


def _rpc_code(error: BaseException) -> str | None:
    code = getattr(error, "code", None)
    return getattr(code(), "name", None) if callable(code) else None


def _line(error: BaseException) -> str:
    details = getattr(error, "details", None)
    text = str(details() if callable(details) else error) or type(error).__name__
    return " ".join(text.splitlines()[0].split())
