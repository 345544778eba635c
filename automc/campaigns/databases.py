"""From a URL to an Optuna storage: SQLite, PostgreSQL, or Optuna's proxy in front of one of them."""

from __future__ import annotations

import re
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy

from automc import files
from automc.errors import ConfigError

KINDS = "sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE or grpc://HOST:PORT"
PORT = 13000
"""Where Optuna's proxy listens unless told otherwise."""

CONTACT = 4
"""Seconds for the first contact."""

_FILES = (".db", ".sqlite", ".sqlite3")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_SECRETS = {"password", "sslpassword"}


def sqlite_url(path: Path) -> str:
    """Returns the URL of a file."""
    return f"sqlite:///{path}"


def normal(url: str) -> str:
    """Returns a URL as one of `KINDS`; a file's name becomes SQLite's.

    Raises:
        ConfigError: it is none of them.
    """
    scheme, found, rest = url.partition("://")
    if not found and Path(url).suffix in _FILES:
        return sqlite_url(Path(url))
    if scheme == "sqlite" and found and len(rest) > 1 and rest.startswith("/") and "?" not in rest:
        return url
    if scheme == "grpc" and found:
        _host_and_port(url)
        return url
    if scheme in _POSTGRES and found:
        return _postgres(url).render_as_string(hide_password=False)
    raise ConfigError(f"{shown(url)}: no storage that AutoMC knows; it is one of {KINDS}")


def shown(url: str) -> str:
    """Returns a URL as people may see it: without a password; SQLite's file as its path alone."""
    secret = "|".join(_SECRETS)
    url = re.sub(rf"([?&](?:{secret})=)[^&]*", r"\1***", url)
    return re.sub(r"(://[^:@/]*):.*@", r"\1:***@", url).removeprefix("sqlite:///")


def open_database(url: str, create: bool, locked: float) -> BaseStorage:
    """Opens a storage; whoever answers there is asked now.

    Args:
        url: as `normal` gives it.
        create: whether SQLite's file is made where there is none.
        locked: seconds that SQLite waits for another process that writes.

    Raises:
        ConfigError: there is no file and none is to be made; its schema is another one.
        Exception: what the database raises; see `outages.told`.
    """
    if url.startswith("grpc:"):
        return _proxy(*_host_and_port(url))
    if url.startswith("sqlite:"):
        return _sqlite(url, create, locked)
    return _relational(url, _postgres_kwargs(url))


def _proxy(host: str, port: int) -> BaseStorage:
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        proxy = GrpcStorageProxy(host=host, port=port)
    try:
        proxy.wait_server_ready(timeout=CONTACT)
        proxy.get_all_studies()  # there may be a server that is another one
    except BaseException:
        proxy.close()
        raise
    return proxy


def _sqlite(url: str, create: bool, locked: float) -> BaseStorage:
    path = Path(url.removeprefix("sqlite:///"))
    if create:
        files.ensure_writable(path.parent)
    elif not path.exists():
        raise ConfigError(f"{url}: no such file; it appears with the first campaign: automc campaign start")
    storage = _relational(url, {"connect_args": {"timeout": locked}})
    # `synchronous` stays FULL: what is committed outlasts a power cut too, for three fsyncs an evaluation
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return storage


def _relational(url: str, kwargs: dict[str, Any]) -> BaseStorage:
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    from automc.campaigns.rows import Rows  # SQLAlchemy and Optuna's tables take a moment

    for attempt in range(3):
        try:
            storage = Rows(url.replace("{", "{{").replace("}", "}}"), kwargs, skip_compatibility_check=True)
            break
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            # two processes that make its tables at once get in each other's way
            crowded = isinstance(error, IntegrityError) or "already exists" in str(error.orig)
            if attempt == 2 or not crowded:
                raise
    there, here = storage.get_current_version(), storage.get_head_version()
    if there != here:
        storage.engine.dispose()
        if there in storage.get_all_versions():
            raise ConfigError(
                f"{shown(url)}: made by an older Optuna (schema {there}, here {here}); upgrade it: optuna storage "
                "upgrade --storage URL"
            )
        raise ConfigError(f"{shown(url)}: made by a newer Optuna (schema {there}, here {here}); upgrade automc")
    return optuna.storages.get_storage(storage)


def _postgres(url: str) -> Any:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
        if parsed.host is not None and "@" in parsed.host:  # a piece of the password
            raise ValueError
    except (ArgumentError, ValueError):  # which name what they could not read, passwords too
        raise ConfigError(
            f"{shown(url)}: cannot be read; write special characters of a password as %XX: {KINDS}"
        ) from None
    return parsed.set(drivername="postgresql+psycopg")


def _postgres_kwargs(url: str) -> dict[str, Any]:
    # a host that vanished is found out within half a minute, not when TCP gives up
    wanted = {
        "connect_timeout": CONTACT,
        "application_name": "automc",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    there = _postgres(url).query
    return {"pool_pre_ping": True, "connect_args": {k: v for k, v in wanted.items() if k not in there}}


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host = None
    if host is None or parts.path not in ("", "/") or parts.username is not None:
        raise ConfigError(f"{shown(url)}: cannot be read as grpc://HOST:PORT")
    return (f"[{host}]" if ":" in host else host), port
