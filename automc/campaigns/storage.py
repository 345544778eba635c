"""Where campaigns are kept: an Optuna storage, named by a URL."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import optuna
from optuna.storages import BaseStorage, RDBStorage

from automc import files, progress
from automc.errors import AutoMCError, ConfigError, lacking

T = TypeVar("T")

PATIENCE = 300.0
"""Seconds that a campaign waits for a database that went away."""


def default_storage() -> str:
    """Returns where campaigns are kept where nobody says: ``AUTOMC_STORAGE``, or a file among the user's data."""
    return os.environ.get("AUTOMC_STORAGE") or f"sqlite:///{files.home() / 'campaigns.db'}"


class Storage:
    """An Optuna storage that waits for a database that has gone away.

    Args:
        url: ``sqlite:///FILE``, ``postgresql://USER:PASSWORD@HOST/DATABASE``, or ``grpc://HOST:PORT`` for
            Optuna's proxy.

    Attributes:
        url: as it was given, without a password; SQLite's file without what comes before its path.
        optuna: the storage, for Optuna's own tools.

    Raises:
        ConfigError: the URL makes no sense, or nothing can be read or written there.
    """

    def __init__(self, url: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.url = url.removeprefix("sqlite:///")
        with self.errors():
            self.optuna = _open(url)

    def do(self, action: Callable[[BaseStorage], T]) -> T:
        """Does something with the storage; where the database is away for a moment, again, until it is back.

        Raises:
            ConfigError: it is damaged, full, or did not come back.
        """
        patient, said = time.monotonic() + PATIENCE, False
        while True:
            try:
                with self.errors():
                    return action(self.optuna)
            except ConfigError as error:
                if not _away(error.__cause__) or time.monotonic() > patient:
                    raise
                if not said:
                    progress.say(f"{error}; waiting for it")
                said = True
                time.sleep(1.0)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what databases raise into one line that says what to do.

        Raises:
            ConfigError: whatever was raised within.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except AutoMCError:
            raise
        except (SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError, ValueError) as error:
            cause = str(error.__cause__ or error).splitlines()[0]
            if lacking(error):
                raise ConfigError(f"cannot write {self.url}: {cause}") from error
            raise ConfigError(f"{self.url}: the journal is damaged or cannot be written ({cause})") from error

    def close(self) -> None:
        """Lets go of all connections; the last one folds SQLite's write-ahead log into the file."""
        self.optuna.remove_session()
        backend = getattr(self.optuna, "_backend", self.optuna)  # Optuna's cache in front of a database
        if isinstance(backend, RDBStorage):
            backend.engine.dispose()


def sqlite_url(path: Path) -> str:
    """Returns the URL of a file."""
    return f"sqlite:///{path}"


def _open(url: str) -> BaseStorage:
    if not url.startswith("sqlite:///"):
        raise ConfigError(f"{url}: no storage that AutoMC knows")
    path = Path(url.removeprefix("sqlite:///"))
    files.ensure_writable(path.parent)
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return optuna.storages.get_storage(storage)


def _away(error: BaseException | None) -> bool:
    """Says whether a database that raised this may come back by itself."""
    return False
