"""A campaign: a configuration, its journal, and what became of it."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import platform
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from pydantic import BaseModel, ConfigDict, Field

from automc.campaigns.config import SearchConfig
from automc.campaigns.journal import Journal
from automc.campaigns.session import Session, alive, sessions, supervised
from automc.campaigns.standing import Standing
from automc.campaigns.storage import Storage
from automc.errors import ConfigError, nearest

State = Literal["queued", "running", "paused", "finished", "failed", "cancelled"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_RECORD, _ABOUT, _STATE, _REASON, _WISH, _ENDED, _AHEAD, _TOTAL = (
    "campaign",
    "about",
    "state",
    "reason",
    "wish",
    "ended",
    "ahead",
    "total",
)


class Record(BaseModel):
    """What a campaign was begun with.

    Attributes:
        config: its configuration.
        folder: where relative paths of the configuration start.
        source: the file that the configuration is from, if any.
        out: where its files go.
        owner: who began it: user and host.
        created: when.
        asked: what the command line asked of `compute`, whatever the file says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: SearchConfig
    folder: Path
    source: Path | None = None
    out: Path
    owner: str
    created: datetime
    asked: dict[str, Any] = Field(default_factory=dict)


class Status(BaseModel):
    """How a campaign stands.

    Attributes:
        name: of the campaign.
        state: as it is now; a campaign whose driver went without a word is ``failed``.
        reason: why it failed, or is being started again, in one line.
        record: what it was begun with.
        started: when it first ran.
        ended: when it ended.
        seconds: that drivers have run, all sessions together.
        worker_seconds: spent on evaluations that have ended, all workers together.
        evaluations: how many have ended, those that failed too.
        failed: how many of them failed.
        under_way: how many have begun and not ended.
        total: how many there are to be; None before it began.
        driver: host and process that drive it now.
        since: when that began, or whoever drove it last, without a zone.
        metric: name of the score; None before it began.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    state: State
    reason: str | None
    record: Record
    started: datetime | None
    ended: datetime | None
    seconds: float
    worker_seconds: float
    evaluations: int
    failed: int
    under_way: int
    total: int | None
    driver: str | None
    since: datetime | None
    metric: str | None


class Campaign:
    """One campaign in a storage.

    Args:
        storage: where it is kept.
        name: its name.

    Attributes:
        storage: where it is kept.
        name: its name.
        journal: its evaluations.
        standing: figures of those that have ended, as of the last `status`.

    Raises:
        ConfigError: there is none of that name.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        if name not in (there := names(storage)):
            raise ConfigError(f"no campaign {name} in {storage.url}{nearest(name, there)}")
        self._study: int = storage.do(lambda optuna: optuna.get_study_id_from_name(name))
        self.journal = Journal(storage, name)
        self.standing = Standing()

    @classmethod
    def create(
        cls,
        storage: Storage,
        name: str,
        config: SearchConfig,
        folder: Path,
        out: Path,
        source: Path | None = None,
        asked: dict[str, Any] | None = None,
    ) -> Campaign:
        """Adds a campaign, ``queued``.

        Raises:
            ConfigError: the name is taken, or none.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"'{name}' cannot name a campaign: take letters, digits, '.', '_' and '-', 80 at most")
        taken = ConfigError(f"there is a campaign {name} in {storage.url}; choose another name: --name")
        if name in names(storage):
            raise taken
        try:
            study = storage.do(lambda there: optuna.create_study(storage=there, study_name=name))
        except DuplicatedStudyError:  # another process was quicker, or one was cut short here, maybe this one
            time.sleep(1.0)
            if name in names(storage):
                raise taken from None
            study = storage.do(lambda there: optuna.load_study(storage=there, study_name=name))
        record = Record(
            config=config,
            folder=folder.resolve(),
            source=source and source.resolve(),
            out=out.resolve(),
            owner=f"{getpass.getuser()}@{platform.node()}",
            created=datetime.now(UTC),
            asked=asked or {},
        )
        # the record last: with it, there is a campaign
        attributes = record.model_dump(mode="json")
        storage.do(lambda there: there.set_study_user_attr(study._study_id, _STATE, "queued"))
        storage.do(lambda there: there.set_study_user_attr(study._study_id, _RECORD, attributes))
        return cls(storage, name)

    @property
    def record(self) -> Record:
        """What it was begun with."""
        return Record.model_validate(self._attributes()[_RECORD])

    @property
    def digest(self) -> str:
        """Of what tells this campaign from all others."""
        return hashlib.sha256(json.dumps(self._attributes()[_ABOUT], sort_keys=True).encode()).hexdigest()

    def change(self, config: SearchConfig, asked: dict[str, Any] | None = None) -> None:
        """Notes another configuration, of the same evaluations, and what the command line asks beside it."""
        record = self.record.model_copy(update={"config": config, "asked": asked or {}})
        self._set(_RECORD, record.model_dump(mode="json"))

    def queue(self) -> None:
        """Notes that somebody is about to drive it, so that it can be paused or cancelled before that."""
        self._set(_WISH, None)
        self.end("queued")

    @property
    def wished(self) -> str | None:
        """What somebody asks of its driver: ``pause``, ``cancel`` or None."""
        return self._attributes().get(_WISH)

    def drive(self, local: bool = True) -> Session:
        """Claims the campaign for this process; raises ConfigError where another one drives it."""
        session = Session(self.storage, self._study, self.name, local)
        self._set(_WISH, None)
        self._set(_REASON, None)
        self._set(_STATE, "running")
        return session

    def describe(self, total: int, metric: str, higher_is_better: bool) -> None:
        """Notes, for whoever watches, how many evaluations there are to be and what their score is."""
        for key, value in (("total", total), ("metric", metric), ("higher_is_better", higher_is_better)):
            self._set(key, value)

    def begin(self, about: dict[str, Any], resume: bool, ahead: int) -> int:
        """Begins, or goes on.

        Args:
            about: what decides about its scores and proposals: configuration, model, precision; plain data.
            resume: whether to go on with evaluations that are there. Without it, a campaign that has finished is begun
                anew, and one that has not is refused, unless nothing was evaluated yet.
            ahead: proposals that may be under way, where `about` does not say; a resumed campaign keeps its own.

        Returns:
            Proposals that may be under way.

        Raises:
            ConfigError: the evaluations that are there are of another configuration, or not to be resumed.
        """
        plain, attributes = json.loads(json.dumps(about)), self._attributes()
        there = attributes.get(_ABOUT)
        if there is not None:
            agents = self.journal.agents()
            count = sum(len(self.journal.evaluations(agent)) for agent in agents)
            if not resume and (attributes.get(_ENDED) or not count):
                self._forget(agents)
            elif not resume:
                raise ConfigError(
                    f"{self.storage.url}: a search that has not ended, with {count} finished evaluations; go on with "
                    "it: --resume; or choose another folder: --out; or delete that file"
                )
            elif there != plain:
                raise ConfigError(
                    f"{self.storage.url}: of another search ({difference(there, plain)}); choose another --out"
                )
            else:
                ahead = attributes[_AHEAD]
        ahead = about["ahead"] or ahead
        self._set(_ABOUT, plain)
        self._set(_AHEAD, ahead)
        self._set(_ENDED, None)
        return ahead

    def end(self, state: State, reason: str | None = None, for_good: bool = False) -> None:
        """Notes how it ended, for now or for good: finished and cancelled campaigns have nothing to go on with."""
        for_good |= state in ("finished", "cancelled")
        self._set(_STATE, state)
        self._set(_REASON, reason)
        self._set(_ENDED, datetime.now(UTC).isoformat() if for_good else None)

    def seconds(self) -> float:
        """Returns how long drivers have run, all sessions together."""
        seconds = 0.0
        for one in sessions(self.storage, self._study):
            ended = one.datetime_complete or datetime.fromisoformat(one.user_attrs["seen"]).astimezone()
            assert one.datetime_start is not None  # Optuna notes it with every row
            seconds += (ended.replace(tzinfo=None) - one.datetime_start).total_seconds()
        return seconds

    def wish(self, what: Literal["pause", "cancel"]) -> None:
        """Asks its driver for something; where there is none, it is so at once."""
        if self.status().driver is None:
            self.end("paused" if what == "pause" else "cancelled")
        else:
            self._set(_WISH, what)

    def status(self) -> Status:
        """Returns how it stands."""
        attributes = self._attributes()
        held = sessions(self.storage, self._study)
        driver = next((one for one in held if one.state == TrialState.RUNNING and alive(one, self.storage)), None)
        record = Record.model_validate(attributes[_RECORD])
        self.standing.metric = record.config.budgets[0].metric
        self.standing.higher_is_better = attributes.get("higher_is_better", True)
        self.standing.read(self.journal)
        state, reason = attributes[_STATE], attributes.get(_REASON)
        if state == "running" and driver is None:
            reason = reason or "its driver ended without a word"
            if held and supervised(held[-1]):
                reason += "; it is started again"
            else:
                state, reason = "failed", f"{reason}; go on with it: automc campaign resume {self.name}"
        return Status(
            name=self.name,
            state=state,
            reason=reason,
            record=record,
            started=held[0].datetime_start if held else None,
            ended=attributes.get(_ENDED),
            seconds=round(self.seconds(), 1),
            worker_seconds=round(self.standing.worker_seconds, 3),
            evaluations=self.standing.evaluations,
            failed=self.standing.failed,
            under_way=sum(len(self.journal.begun(agent)) for agent in self.journal.agents()),
            total=attributes.get("total"),
            driver=f"{driver.user_attrs['host']}:{driver.user_attrs['pid']}" if driver else None,
            since=held[-1].datetime_start if held else None,
            metric=attributes.get("metric"),
        )

    def delete(self) -> None:
        """Deletes its record and journal; its files stay. Raises ConfigError where it is being driven."""
        if (driver := self.status().driver) is not None:
            raise ConfigError(f"{self.name} is being driven by {driver}; cancel it first: automc campaign cancel")
        self._forget(self.journal.agents())
        self._delete(self.name)

    def _forget(self, agents: list[str]) -> None:
        for agent in agents:
            self._delete(f"{self.name}/{agent}")
        self.journal, self.standing = Journal(self.storage, self.name), Standing()

    def _delete(self, study: str) -> None:
        def action(storage: BaseStorage) -> None:
            with contextlib.suppress(KeyError):  # it is gone already, and the answer was lost
                storage.delete_study(storage.get_study_id_from_name(study))

        self.storage.do(action)

    def _attributes(self) -> dict[str, Any]:
        try:
            return self.storage.do(lambda storage: storage.get_study_user_attrs(self._study))
        except KeyError:
            raise ConfigError(f"{self.name} is no longer in {self.storage.url}: somebody deleted it") from None

    def _set(self, key: str, value: Any) -> None:
        self.storage.do(lambda storage: storage.set_study_user_attr(self._study, key, value))


def names(storage: Storage) -> list[str]:
    """Returns the names of all campaigns of a storage."""
    studies = storage.do(lambda optuna: optuna.get_all_studies())
    return [study.study_name for study in studies if _RECORD in study.user_attrs]


def difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Names what differs, at most three keys."""
    keys = [key for key in sorted(there | here) if there.get(key) != here.get(key)]
    return "; ".join(f"{key} is {there.get(key)!r} there, {here.get(key)!r} here" for key in keys[:3])
