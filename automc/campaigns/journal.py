"""The journal of a search: every finished evaluation, in an Optuna study for each agent.

The file is SQLite in WAL mode, beside the search's other files; Optuna's own tools read it. An evaluation is finished
when its row is committed: whatever happens then, a resumed search does not repeat it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from automc.campaigns.result import Evaluated
from automc.errors import ConfigError, lacking

FILE = "journal.db"

_ABOUT, _DONE = "search", "finished"


class Journal:
    """The finished evaluations of one search.

    Args:
        folder: where the search writes.
        about: what the search is: its configuration and what else decides about its scores, as plain data.
        resume: whether to go on with a journal that is there. Without it, the journal of a search that has ended is
            begun anew, and one that has not is refused, unless nothing was evaluated yet.
        higher_is_better: the direction of the studies, for Optuna's own tools.

    Attributes:
        folder: where the search writes.
        digest: of what the search is.

    Raises:
        ConfigError: the journal is of another search, damaged, in use by another process, or not to be resumed.
    """

    def __init__(self, folder: Path, about: dict[str, Any], resume: bool, higher_is_better: bool = True) -> None:
        self._direction = StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE
        self.folder, self._path = folder, folder / FILE
        self.digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        self._lock = filelock.FileLock(folder / f".{FILE}.lock")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise ConfigError(f"{self._path}: another search is writing to it; choose another folder: --out") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._studies: dict[str, optuna.Study] = {}
        try:
            with self._clear_errors():
                self._open(about, resume)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, about: dict[str, Any], resume: bool) -> None:
        plain = json.loads(json.dumps(about))
        if self._path.exists():
            campaign = self._study(_ABOUT)
            there = campaign.user_attrs.get(_ABOUT)
            count = sum(len(self.evaluations(name)) for name in self._agents())
            if not resume and (campaign.user_attrs.get(_DONE) or not count):
                self._delete()
            elif there is not None and not resume:
                raise ConfigError(
                    f"{self._path}: a search that has not ended, with {count} finished evaluations; go on with it: "
                    "--resume; or choose another folder: --out; or delete that file"
                )
            elif there is not None and there != plain:
                raise ConfigError(
                    f"{self._path}: of another search ({_difference(there, plain)}); choose another --out"
                )
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        self._study(_ABOUT).set_user_attr(_ABOUT, plain)

    def evaluations(self, agent: str) -> list[Evaluated]:
        """Returns an agent's finished evaluations, those that failed too, in order."""
        with self._clear_errors():
            trials = self._study(agent).get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
            return [Evaluated.model_validate_json(trial.user_attrs["evaluation"]) for trial in trials]

    def append(
        self, done: Evaluated, params: dict[str, Any] | None = None, distributions: dict[str, Any] | None = None
    ) -> None:
        """Commits one finished evaluation; Optuna's parameters and distributions are for Optuna's own tools."""
        with self._clear_errors():
            trial = create_trial(
                state=TrialState.COMPLETE if done.score is not None else TrialState.FAIL,
                value=done.score,
                params=params,
                distributions=distributions,
                user_attrs={"evaluation": done.model_dump_json()},
            )
            self._study(done.agent).add_trial(trial)

    def finish(self) -> None:
        """Notes that the search has ended and its files were written."""
        with self._clear_errors():
            self._study(_ABOUT).set_user_attr(_DONE, True)

    def close(self) -> None:
        """Lets others write."""
        self._disconnect()
        self._lock.release()

    @cached_property
    def _storage(self) -> optuna.storages.RDBStorage:
        return optuna.storages.RDBStorage(f"sqlite:///{self._path}")

    def _study(self, name: str) -> optuna.Study:
        if name not in self._studies:
            self._studies[name] = optuna.create_study(
                storage=self._storage, study_name=name, direction=self._direction, load_if_exists=True
            )
        return self._studies[name]

    def _agents(self) -> list[str]:
        return [name for name in optuna.get_all_study_names(self._storage) if name != _ABOUT]

    def _disconnect(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()  # the last connection to go folds the write-ahead log into the file
        self._studies.clear()
        del self._storage

    def _delete(self) -> None:
        self._disconnect()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(FILE + suffix).unlink(missing_ok=True)

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError, ValueError, KeyError) as error:
            cause = str(error.__cause__ or error).splitlines()[0]
            if lacking(error):
                raise ConfigError(f"cannot write {self._path}: {cause}") from error
            raise ConfigError(f"{self._path}: the journal is damaged or cannot be written ({cause})") from error


def unfinished(folder: Path) -> bool:
    """Says whether a folder has the journal of a search that has not ended."""
    path = folder / FILE
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            query = "SELECT COUNT(*) FROM study_user_attributes WHERE key = ?"
            return bool(connection.execute(query, (_DONE,)).fetchone()[0] == 0)
    except sqlite3.Error:  # damaged: whoever opens it says so
        return True


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Names what differs, at most three keys."""
    keys = [key for key in sorted(there | here) if there.get(key) != here.get(key)]
    return "; ".join(f"{key} is {there.get(key)!r} there, {here.get(key)!r} here" for key in keys[:3])
