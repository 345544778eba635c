"""Where campaigns are kept: an Optuna storage, named by a URL."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from optuna.trial import FrozenTrial

from automc import files, progress
from automc.campaigns.databases import normal, open_database, shown, sqlite_url
from automc.campaigns.outages import Away, told
from automc.errors import AutoMCError

__all__ = ["Away", "Storage", "default_storage", "set_times", "sqlite_url", "times"]

T = TypeVar("T")

PATIENCE = 300.0
"""Seconds that a campaign waits for a database that went away."""

PAUSE = 1.0
"""Seconds between two looks whether it is back."""

_LOCKED, _LOCKED_BRIEFLY = 60.0, 5.0  # seconds that SQLite waits for another process that writes


def default_storage() -> str:
    """Returns where campaigns are kept where nobody says: ``AUTOMC_STORAGE``, or a file among the user's data."""
    return os.environ.get("AUTOMC_STORAGE") or sqlite_url(files.home() / "campaigns.db")


class Storage:
    """An Optuna storage that waits for a database that has gone away.

    Args:
        url: ``sqlite:///FILE`` or just the file's name, ``postgresql://USER:PASSWORD@HOST/DATABASE``, or
            ``grpc://HOST:PORT`` for Optuna's proxy.
        create: whether SQLite's file is made where there is none.
        patient: whether to wait for a database that does not answer now, as for one that went away later.
        waits: whether what is done waits for a database that went away. A server's does not: others wait for it.

    Attributes:
        url: as it was given, without a password; SQLite's file without what comes before its path.
        optuna: the storage, for Optuna's own tools.
        waits: as it was given.

    Raises:
        ConfigError: the URL makes no sense, nobody answers there, or nothing can be read or written.
    """

    def __init__(self, url: str, create: bool = True, patient: bool = False, waits: bool = True) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.url = shown(url)
        self._url, self._since, self._next, self.waits = normal(url), 0.0, 0.0, waits

        def opened() -> BaseStorage:
            return open_database(self._url, create, _LOCKED if waits else _LOCKED_BRIEFLY)

        self.optuna = self._patiently(opened) if patient else self._plainly(opened)

    def do(self, action: Callable[[BaseStorage], T]) -> T:
        """Does something with the storage; where the database is away for a moment, again, until it is back.

        So an action may be done twice, the second time after the first succeeded and only its answer was lost.

        Raises:
            Away: it did not come back.
            ConfigError: it refuses, is damaged or full.
        """
        return self._patiently(lambda: action(self.optuna))

    def add_row(self, study: int, template: FrozenTrial, key: str) -> int:
        """Adds a trial to a study, and only one, also where an answer was lost; returns its identifier.

        Args:
            study: the study.
            template: the trial.
            key: its user attribute that no other trial of the study has the same of.
        """
        again = False

        def action(storage: BaseStorage) -> int:
            nonlocal again
            there = storage.get_all_trials(study, deepcopy=False) if again else []
            again = True
            trial = next((one for one in there if one.user_attrs[key] == template.user_attrs[key]), None)
            return int(storage.create_new_trial(study, template) if trial is None else trial._trial_id)

        return self.do(action)

    def _patiently(self, action: Callable[[], T]) -> T:
        while True:
            if not self.waits and self._since:
                if time.monotonic() < self._next:  # somebody has just asked, or does now
                    raise Away(f"{self.url}: nobody answers")
                self._next = time.monotonic() + PAUSE
                self._reconnect()
            try:
                result = self._plainly(action)
            except Away as error:
                now = time.monotonic()
                # once it has been waited for in vain nobody else waits, until it answers
                if self._since and now - self._since > PATIENCE:
                    raise
                if not self._since:
                    self._since, self._next = now, now + PAUSE
                    progress.say(f"{error}; waiting for it")
                if not self.waits:
                    raise
                time.sleep(PAUSE)
                self._reconnect()
            else:
                if self._since:
                    self._since = 0.0
                    progress.say(f"{self.url} is back")
                return result

    def _plainly(self, action: Callable[[], T]) -> T:
        with self.errors():
            return action()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what databases raise into one line that says what to do.

        Raises:
            ConfigError: whatever was raised within; an `Away` where the database may come back by itself.
        """
        from grpc import RpcError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except AutoMCError:
            raise
        except (
            SQLAlchemyError,
            sqlite3.Error,
            optuna.exceptions.StorageInternalError,
            RpcError,
            ConnectionError,
            ValueError,
        ) as error:
            raise told(error, self.url) from error

    def _reconnect(self) -> None:
        """Begins anew with a proxy: gRPC itself would wait longer and longer, up to two minutes, before it looks."""
        proxy = getattr(self, "optuna", None)
        if isinstance(proxy, GrpcStorageProxy):
            proxy.__setstate__(proxy.__getstate__())

    def close(self) -> None:
        """Lets go of all connections; the last one folds SQLite's write-ahead log into the file."""
        self.optuna.remove_session()
        backend = getattr(self.optuna, "_backend", self.optuna)  # Optuna's cache in front of a database
        if isinstance(backend, RDBStorage):
            backend.engine.dispose()
        elif isinstance(backend, GrpcStorageProxy):
            backend.close()


def times(trial: FrozenTrial) -> tuple[datetime, datetime | None]:
    """Returns when a trial began and ended, in UTC; Optuna gives local times without a zone."""
    assert trial.datetime_start is not None  # of all that is not waiting
    return trial.datetime_start.astimezone(UTC), trial.datetime_complete and trial.datetime_complete.astimezone(UTC)


def set_times(trial: FrozenTrial, started: datetime, ended: datetime | None) -> None:
    """Sets when a trial began and ended, as Optuna wants it."""
    trial.datetime_start = started.astimezone().replace(tzinfo=None)
    trial.datetime_complete = ended and ended.astimezone().replace(tzinfo=None)
