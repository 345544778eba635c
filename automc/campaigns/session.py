"""Who drives a campaign: one process at a time, whatever the storage and wherever the process."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import threading
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from automc import progress
from automc.campaigns.storage import Storage
from automc.errors import ConfigError

_BEAT = 2.0  # seconds between two signs of life
_SILENCE = 30.0  # seconds without one, after which a driver on another machine is taken for dead
_RESTART = 60.0  # seconds more, after which it is not started again either: the supervisor's longest pause, and imports

SUPERVISOR = "AUTOMC_SUPERVISOR"
"""Names, in a driver's environment, the process that starts it again when it is killed."""


_held: set[tuple[str, int]] = set()  # claims of this process: storage and trial


class Session:
    """A process that drives a campaign, from its claim to its end: a trial in the campaign's own study.

    A claim is a running trial. Of several the one with the lowest number counts, so two that come at once cannot both
    have it (Lamport's bakery). Whoever finds that a driver is dead ends its trial: a process of this machine is asked
    for by its number and the time when it began, one of another machine is dead when it gave no sign of life.

    Args:
        storage: where the campaign is kept.
        study: the campaign's own.
        name: of the campaign.
        local: whether evaluations run in this process.

    Attributes:
        wish: what somebody asks of the driver: ``pause``, ``cancel`` or None.
        patient: whether the driver looks at `wish` itself where it is to pause; else it is interrupted, as by Ctrl-C.
        lost: whether another process took the campaign over.
        orphaned: whether the driver before ended without a word while it evaluated in its own process.

    Raises:
        ConfigError: another process drives the campaign.
    """

    def __init__(self, storage: Storage, study: int, name: str, local: bool) -> None:
        self._storage, self._study = storage, study
        self.wish: str | None = None
        self.patient = self.lost = False
        self._trial = self._claim(name, local)
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._heart.start()

    def _claim(self, name: str, local: bool) -> int:
        attributes = {**_myself(), "local": local, "seen": _now(), "claim": uuid4().hex, "supervisor": _supervisor()}
        template = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
        mine = self._storage.add_row(self._study, template, "claim")
        self.orphaned = False
        try:
            for other in sessions(self._storage, self._study):
                if other._trial_id == mine or other.state != TrialState.RUNNING:
                    continue
                if other._trial_id < mine and alive(other, self._storage):
                    who = f"{other.user_attrs['host']}, process {other.user_attrs['pid']}"
                    raise ConfigError(
                        f"{self._storage.url}: campaign {name} is being driven by another process ({who}); wait for "
                        "it, or stop it first"
                    )
                if other._trial_id < mine:
                    self._end(other._trial_id, TrialState.FAIL)
                    self.orphaned |= bool(other.user_attrs.get("local"))
        except BaseException:
            self._end(mine, TrialState.PRUNED)
            raise
        _held.add((self._storage.url, mine))
        return mine

    def close(self) -> None:
        """Says that the driver has ended, and lets others drive."""
        self._ended.set()
        self._heart.join()
        _held.discard((self._storage.url, self._trial))
        with contextlib.suppress(ConfigError):  # where it cannot be written, the process will soon be gone
            self._end(self._trial, TrialState.COMPLETE)

    def _end(self, trial: int, state: TrialState) -> None:
        def action(storage: BaseStorage) -> None:
            with contextlib.suppress(UpdateFinishedTrialError):
                storage.set_trial_state_values(trial, state, [0.0] if state == TrialState.COMPLETE else None)

        self._storage.do(action)

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            try:
                self._storage.do(lambda storage: storage.set_trial_user_attr(self._trial, "seen", _now()))
                wish = self._storage.do(lambda storage: storage.get_study_user_attrs(self._study)).get("wish")
            except UpdateFinishedTrialError:
                self.lost = True
                progress.say("Another process has taken over this campaign; this one ends")
                os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C would
                return
            except ConfigError:
                continue  # whoever needs the storage says so
            news, self.wish = wish != self.wish, wish
            if news and (wish == "cancel" or (wish == "pause" and not self.patient)):
                os.kill(os.getpid(), signal.SIGINT)


def sessions(storage: Storage, study: int) -> list[FrozenTrial]:
    """Returns all processes that ever drove a campaign, in order."""
    states = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL)
    return storage.do(lambda optuna: optuna.get_all_trials(study, deepcopy=False, states=states))


def alive(session: FrozenTrial, storage: Storage) -> bool:
    """Says whether the process of a session that has not ended is still there, and still drives."""
    there: dict[str, Any] = session.user_attrs
    if there["host"] != platform.node():
        return _silent(there) < _SILENCE
    if there["pid"] == os.getpid():  # it may have ended and not been able to say so
        return (storage.url, session._trial_id) in _held
    return _runs(there)


def supervised(session: FrozenTrial) -> bool:
    """Says whether a process is still there that starts the session's driver again when it is killed."""
    there: dict[str, Any] = session.user_attrs
    if (supervisor := there.get("supervisor")) is None:
        return False
    return _runs(supervisor) if there["host"] == platform.node() else _silent(there) < _SILENCE + _RESTART


def _runs(there: dict[str, Any]) -> bool:
    """Says whether a process of this machine is there: another may have its number by now."""
    try:
        process = psutil.Process(there["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(abs(process.create_time() - there["began"]) < 1)
    except psutil.NoSuchProcess:
        return False


def _silent(there: dict[str, Any]) -> float:
    """Returns the seconds since a driver's last sign of life."""
    return (datetime.now(UTC) - datetime.fromisoformat(there["seen"])).total_seconds()


def _myself() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid(), "began": psutil.Process().create_time()}


def _supervisor() -> dict[str, Any] | None:
    parent = os.getppid()
    if os.environ.get(SUPERVISOR) != str(parent):
        return None
    return {"pid": parent, "began": psutil.Process(parent).create_time()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
