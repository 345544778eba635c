"""The studies that campaigns are kept in: made whole or not at all, found, deleted."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage

from automc.campaigns.journal import Journal
from automc.campaigns.states import State
from automc.campaigns.storage import Storage
from automc.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
RECORD, ABOUT, STATE, REASON, WISH, ENDED, AHEAD, TOTAL, LIMITS, WAITING, REQUEST = (
    "campaign",
    "about",
    "state",
    "reason",
    "wish",
    "ended",
    "ahead",
    "total",
    "limits",
    "waiting",
    "request",
)


@dataclass(frozen=True)
class Noted:
    """What is noted of a campaign, without a look at whoever drives it.

    Attributes:
        study: tells it from one of the same name that was deleted; 0 where nobody asked.
        state: as it was noted last, whether or not its driver is still there.
        waiting: whether it is in line: a service starts it when there is room.
        created: when it was made, as text that sorts.
        request: the key and the digest of the request that made it; None where it had no key.
    """

    study: int
    state: State
    waiting: bool
    created: str
    request: tuple[str, str] | None

    @classmethod
    def of(cls, attributes: dict[str, Any], study: int = 0) -> Noted:
        """Reads it off the attributes of a campaign's study."""
        state, request = attributes[STATE], attributes.get(REQUEST)
        waiting = bool(attributes.get(WAITING)) and state == "queued"
        return cls(study, state, waiting, attributes[RECORD]["created"], request and (request[0], request[1]))


def names(storage: Storage) -> list[str]:
    """Returns the names of all campaigns of a storage."""
    return list(noted(storage))


def noted(storage: Storage) -> dict[str, Noted]:
    """Returns what is noted of each campaign of a storage, by name, all at one moment."""
    studies = storage.do(lambda optuna: optuna.get_all_studies())
    return {
        study.study_name: Noted.of(study.user_attrs, study._study_id) for study in studies if RECORD in study.user_attrs
    }


def make_study(
    storage: Storage, name: str, attributes: dict[str, Any], fill: Callable[[int], None] = lambda study: None
) -> None:
    """Makes a campaign's own study, whole or not at all.

    Args:
        storage: where it is kept.
        name: its name.
        attributes: of its study, state and record among them; the record makes it a campaign, and is written last.
        fill: adds what else there is, given the campaign's own study.

    Raises:
        ConfigError: the name is taken, or none.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{name}' cannot name a campaign: take letters, digits, '.', '_' and '-', 80 at most")
    taken = ConfigError(f"there is a campaign {name} in {storage.url}; choose another name: --name")
    studies = storage.do(lambda there: there.get_all_studies())
    if (there := next((one for one in studies if one.study_name == name), None)) is not None:
        if RECORD in there.user_attrs or STATE not in there.user_attrs:  # a campaign, or somebody's own study
            raise taken
        delete_studies(storage, name)  # whoever began to add it was killed
    try:
        study = storage.do(lambda there: optuna.create_study(storage=there, study_name=name))._study_id
    except DuplicatedStudyError:  # another process was quicker, or this one, and the answer was lost
        time.sleep(1.0)
        if name in names(storage):
            raise taken from None
        study = storage.do(lambda there: optuna.load_study(storage=there, study_name=name))._study_id

    def put(key: str) -> None:
        storage.do(lambda there: there.set_study_user_attr(study, key, attributes[key]))

    try:
        put(STATE)
        fill(study)
        for key in attributes.keys() - {STATE, RECORD}:
            put(key)
        put(RECORD)
    except BaseException:
        delete_studies(storage, name)
        raise


def delete_studies(storage: Storage, name: str) -> None:
    """Deletes a campaign's own study and those of its agents."""
    for agent in Journal(storage, name).agents():
        delete_study(storage, f"{name}/{agent}")
    delete_study(storage, name)


def delete_study(storage: Storage, study: str) -> None:
    """Deletes a study, if it is there."""

    def action(there: BaseStorage) -> None:
        with contextlib.suppress(KeyError):  # it is gone already, and the answer was lost
            there.delete_study(there.get_study_id_from_name(study))

    storage.do(action)
