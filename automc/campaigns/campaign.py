"""A campaign: a configuration, its journal, and what became of it."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from optuna.trial import FrozenTrial, TrialState

from automc.campaigns.config import SearchConfig
from automc.campaigns.journal import Journal
from automc.campaigns.record import Record, Status
from automc.campaigns.session import Session, alive, sessions, supervised
from automc.campaigns.states import State
from automc.campaigns.storage import Storage
from automc.campaigns.studies import (
    ABOUT,
    AHEAD,
    ENDED,
    LIMITS,
    REASON,
    RECORD,
    REQUEST,
    STATE,
    TOTAL,
    WAITING,
    WISH,
    Noted,
    delete_studies,
    delete_study,
    make_study,
    names,
)
from automc.errors import ConfigError, NotFound, nearest


class Beginning(TypedDict, total=False):
    """What a campaign may have from its beginning on; none of it must be given.

    Attributes:
        source: the file that the configuration is from, if any.
        asked: what the command line asked of `compute`.
        waiting: whether a service is to start it.
        request: the key and the digest of the request that makes it, if it has a key.
        registered: the name by which its task was asked for, where a service makes it.
    """

    source: Path | None
    asked: dict[str, Any]
    waiting: bool
    request: tuple[str, str] | None
    registered: str | None


class Campaign:
    """One campaign in a storage.

    Args:
        storage: where it is kept.
        name: its name.

    Attributes:
        storage: where it is kept.
        name: its name.
        journal: its evaluations.

    Raises:
        ConfigError: there is none of that name.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        if name not in (there := names(storage)):
            raise ConfigError(f"no campaign {name} in {storage.url}{nearest(name, there)}")
        self._study: int = storage.do(lambda optuna: optuna.get_study_id_from_name(name))
        self.journal = Journal(storage, name)

    @classmethod
    def create(
        cls, storage: Storage, name: str, config: SearchConfig, folder: Path, out: Path, **more: Unpack[Beginning]
    ) -> Campaign:
        """Adds a campaign, ``queued``.

        Args:
            storage: where it is kept.
            name: its name.
            config: its configuration.
            folder: where relative paths of the configuration start.
            out: where its files go.
            more: see `Beginning`.

        Raises:
            ConfigError: the name is taken, or none.
        """
        source, request = more.get("source"), more.get("request")
        record = Record(
            config=config,
            folder=folder.resolve(),
            source=source and source.resolve(),
            out=out.resolve(),
            owner=f"{getpass.getuser()}@{platform.node()}",
            created=datetime.now(UTC),
            asked=more.get("asked", {}),
            registered=more.get("registered"),
        )
        attributes = {STATE: "queued", RECORD: record.model_dump(mode="json"), WAITING: more.get("waiting", False)}
        return add(storage, name, attributes | ({} if request is None else {REQUEST: list(request)}))

    @property
    def record(self) -> Record:
        """What it was begun with."""
        return Record.model_validate(self.attributes()[RECORD])

    @property
    def study(self) -> int:
        """Tells it from a later one of the same name."""
        return self._study

    @property
    def digest(self) -> str:
        """Of what tells this campaign from all others."""
        return hashlib.sha256(json.dumps(self.attributes()[ABOUT], sort_keys=True).encode()).hexdigest()

    def change(self, config: SearchConfig, asked: dict[str, Any] | None = None) -> None:
        """Notes another configuration, of the same evaluations, and what the command line asks beside it."""
        record = self.record.model_copy(update={"config": config, "asked": asked or {}})
        self._set(RECORD, record.model_dump(mode="json"))

    def queue(self, waiting: bool = False) -> None:
        """Notes that somebody is about to drive it, so that it can be paused or cancelled before that.

        Args:
            waiting: whether that is a service, when there is room.
        """
        self._set(WISH, None)
        self._set(WAITING, waiting)
        self.end("queued")

    @property
    def driver(self) -> str | None:
        """Host and process that drive it now."""
        return _driver(sessions(self.storage, self._study), self.storage)

    @property
    def noted(self) -> tuple[State, str | None]:
        """Its state as it was noted last, whether or not its driver is still there, and the reason for it."""
        attributes = self.attributes()
        return attributes[STATE], attributes.get(REASON)

    @property
    def waiting(self) -> bool:
        """Whether it is in line: a service starts it when there is room. It is until its driver's claim."""
        return Noted.of(self.attributes()).waiting

    @property
    def wished(self) -> str | None:
        """What somebody asks of its driver: ``pause``, ``cancel`` or None."""
        return self.attributes().get(WISH)

    def drive(self, local: bool = True) -> Session:
        """Claims the campaign for this process; raises ConfigError where another one drives it."""
        session = Session(self.storage, self._study, self.name, local)
        self._set(WISH, None)
        self._set(REASON, None)
        self._set(STATE, "running")
        return session

    def expect(self, total: int, limits: dict[str, float]) -> None:
        """Notes, for whoever watches, how many evaluations there are to be, and what the budgets allow, by metric."""
        self._set(TOTAL, total)
        self._set(LIMITS, limits)

    def begin(self, about: dict[str, Any], resume: bool, total: int, ahead: int) -> int:
        """Begins, or goes on.

        Args:
            about: what decides about its scores and proposals: configuration, model, precision; plain data.
            resume: whether to go on with evaluations that are there. Without it, a campaign that has finished is begun
                anew, and one that has not is refused, unless nothing was evaluated yet.
            total: evaluations that there are to be.
            ahead: proposals that may be under way, where `about` does not say; a resumed campaign keeps its own.

        Returns:
            Proposals that may be under way.

        Raises:
            ConfigError: the evaluations that are there are of another configuration, or not to be resumed.
        """
        plain, attributes = json.loads(json.dumps(about)), self.attributes()
        there = attributes.get(ABOUT)
        if there is not None:
            agents = self.journal.agents()
            count = sum(len(self.journal.evaluations(agent)) for agent in agents)
            if not resume and (attributes.get(ENDED) or not count):
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
                ahead = attributes[AHEAD]
        self.journal = Journal(self.storage, self.name, about.get("higher_is_better", True))
        ahead = about["ahead"] or ahead
        self._set(ABOUT, plain)
        self._set(AHEAD, ahead)
        self._set(TOTAL, total)
        self._set(ENDED, None)
        return ahead

    def end(self, state: State, reason: str | None = None, for_good: bool = False) -> None:
        """Notes how it ended, for now or for good: finished and cancelled campaigns have nothing to go on with."""
        for_good |= state in ("finished", "cancelled")
        self._set(REASON, reason)
        self._set(ENDED, datetime.now(UTC).isoformat() if for_good else None)
        self._set(STATE, state)  # last: whoever sees it finds the rest

    def seconds(self) -> float:
        """Returns how long drivers have run, all sessions together."""
        seconds = 0.0
        for one in sessions(self.storage, self._study):
            ended = one.datetime_complete or datetime.fromisoformat(one.user_attrs["seen"]).astimezone()
            assert one.datetime_start is not None  # Optuna notes it with every row
            # signs of life are told in whole seconds
            seconds += max((ended.replace(tzinfo=None) - one.datetime_start).total_seconds(), 0.0)
        return seconds

    def wish(self, what: Literal["pause", "cancel"]) -> None:
        """Asks its driver for something; where there is none, it is so at once."""
        if self.driver is not None:
            self._set(WISH, what)
        elif self.noted[0] not in ("finished", "cancelled"):  # it may have ended just now
            self.end("paused" if what == "pause" else "cancelled")

    def status(self) -> Status:
        """Returns how it stands."""
        while True:
            attributes, held = self.attributes(), sessions(self.storage, self._study)
            # a driver that came or went between the two has noted another state
            if (driver := _driver(held, self.storage)) is not None or attributes[STATE] == self.noted[0]:
                break
        record = Record.model_validate(attributes[RECORD])
        tallies = [self.journal.tally(agent) for agent in self.journal.agents()]
        state, reason, about = attributes[STATE], attributes.get(REASON), attributes.get(ABOUT) or {}
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
            ended=attributes.get(ENDED),
            seconds=round(self.seconds(), 1),
            worker_seconds=round(sum(one.seconds for one in tallies), 3),
            evaluations=sum(one.ended for one in tallies),
            failed=sum(one.failed for one in tallies),
            under_way=sum(one.under_way for one in tallies),
            total=attributes.get(TOTAL),
            limits=attributes.get(LIMITS) or {},
            driver=driver,
            since=held[-1].datetime_start if held else None,
            metric=about.get("metric"),
            higher_is_better=about.get("higher_is_better", True),
        )

    def delete(self) -> None:
        """Deletes its record and journal; its files stay. Raises ConfigError where it is being driven."""
        if (driver := self.driver) is not None:
            raise ConfigError(f"{self.name} is being driven by {driver}; cancel it first: automc campaign cancel")
        delete_studies(self.storage, self.name)

    def _forget(self, agents: list[str]) -> None:
        for agent in agents:
            delete_study(self.storage, f"{self.name}/{agent}")
        self.journal = Journal(self.storage, self.name)

    def attributes(self) -> dict[str, Any]:
        """Returns all that is kept of it beside evaluations and sessions, as plain data."""
        try:
            return self.storage.do(lambda storage: storage.get_study_user_attrs(self._study))
        except KeyError:
            raise NotFound(f"{self.name} is no longer there: somebody deleted it") from None

    def _set(self, key: str, value: Any) -> None:
        self.storage.do(lambda storage: storage.set_study_user_attr(self._study, key, value))


def add(
    storage: Storage, name: str, attributes: dict[str, Any], fill: Callable[[int], None] = lambda study: None
) -> Campaign:
    """Adds a campaign, whole or not at all; see `make_study`."""
    make_study(storage, name, attributes, fill)
    return Campaign(storage, name)


def _driver(held: list[FrozenTrial], storage: Storage) -> str | None:
    driver = next((one for one in held if one.state == TrialState.RUNNING and alive(one, storage)), None)
    return f"{driver.user_attrs['host']}:{driver.user_attrs['pid']}" if driver else None


def difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Names what differs, at most three keys."""
    keys = [key for key in sorted(there | here) if there.get(key) != here.get(key)]
    return "; ".join(f"{key} is {there.get(key)!r} there, {here.get(key)!r} here" for key in keys[:3])
