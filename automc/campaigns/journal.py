"""The journal of a campaign: every evaluation, in an Optuna study for each agent.

An evaluation has a row from the moment it begins, with its policy. It is finished when its row says so, which is one
transaction: whatever happens then, a resumed campaign does not repeat it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Container, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from automc.campaigns.evaluated import Evaluated
from automc.campaigns.rows import BEGUN
from automc.campaigns.storage import Storage, set_times, times
from automc.devices import Timing
from automc.search_spaces import Policy

_EVALUATION, _NUMBER, _DEATHS, _MEASURED = "evaluation", "number", "deaths", "measured"
_ENDED = (TrialState.COMPLETE, TrialState.FAIL)


FILE = "journal.db"
"""The journal of a search that has a storage of its own, in the folder it writes to."""


@dataclass(frozen=True)
class Begun:
    """An evaluation that began and has not ended.

    Attributes:
        number: which evaluation of its agent.
        policy: what is evaluated.
        extra: whether it came after the search, because measured latency was over the budget.
        rung: at which fidelity.
        deaths: how many workers died of it.
    """

    number: int
    policy: Policy
    extra: bool = False
    rung: int = 0
    deaths: int = 0

    @property
    def proposal(self) -> bool:
        """Whether its agent proposed it: not what was added or promoted later."""
        return not self.extra and self.rung == 0


@dataclass(frozen=True)
class Tally:
    """How many evaluations an agent has.

    Attributes:
        ended: how many have ended, those that failed too.
        failed: how many of them failed.
        under_way: how many have begun and not ended.
        seconds: that those that have ended took, together.
    """

    ended: int
    failed: int
    under_way: int
    seconds: float


@dataclass(frozen=True)
class Entry:
    """A row: an evaluation that began, and may have ended.

    Attributes:
        begun: how it began.
        started: when.
        ended: when, if it has.
        done: what came out, if it has ended.
    """

    begun: Begun
    started: datetime
    ended: datetime | None
    done: Evaluated | None


class Journal:
    """The evaluations of one campaign.

    What one has read is not read again: a row that has ended does not change.

    Args:
        storage: where they are kept.
        campaign: its name; its studies are ``campaign/agent``.
        higher_is_better: the direction of the studies, for Optuna's own tools.
    """

    def __init__(self, storage: Storage, campaign: str, higher_is_better: bool = True) -> None:
        self._storage, self._campaign = storage, campaign
        self._direction = StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE
        self._studies: dict[str, int] = {}
        self._rows: dict[str, dict[int, int]] = {}
        self._done: dict[int, Evaluated] = {}
        self._seconds: dict[int, float] = {}

    def agents(self) -> list[str]:
        """Returns who has evaluations."""
        prefix = f"{self._campaign}/"
        studies = self._storage.do(lambda storage: storage.get_all_studies())
        return [study.study_name.removeprefix(prefix) for study in studies if study.study_name.startswith(prefix)]

    def evaluations(self, agent: str) -> list[Evaluated]:
        """Returns an agent's finished evaluations, those that failed too, in the order in which they were proposed."""
        trials, done = self._trials(agent), []
        measured = self._measured(agent)
        for trial in trials.values():
            if trial.state not in _ENDED:
                continue
            if (one := self._done.get(trial._trial_id)) is None:
                with self._storage.errors():  # damaged ones
                    one = Evaluated.model_validate_json(trial.user_attrs[_EVALUATION])
                self._done[trial._trial_id] = one
            timing = measured.get(str(trial.number))
            done.append(one.model_copy(update={"measured": timing}) if timing else one)
        return sorted(done, key=lambda one: one.number)

    def news(self, agent: str, seen: Container[int]) -> Iterator[tuple[datetime, Evaluated]]:
        """Yields an agent's finished evaluations but those with these numbers, each with the time it ended."""
        for number, trial in self._trials(agent).items():
            if number not in seen and trial.state in _ENDED and trial.datetime_complete is not None:
                with self._storage.errors():  # damaged ones
                    done = Evaluated.model_validate_json(trial.user_attrs[_EVALUATION])
                yield trial.datetime_complete, done

    def begun(self, agent: str) -> list[Begun]:
        """Returns an agent's evaluations that began and have not ended, in order."""
        rows = [_begun(trial) for trial in self._trials(agent).values() if trial.state == TrialState.RUNNING]
        return sorted(rows, key=lambda row: row.number)

    def entries(self, agent: str) -> list[Entry]:
        """Returns all rows of an agent, in the order in which they began."""
        trials = self._trials(agent)  # before the others, which may end meanwhile
        done = {one.number: one for one in self.evaluations(agent)}
        return [
            Entry(_begun(trial, one), *times(trial), one)
            for number, trial in trials.items()
            for one in (done[number] if trial.state in _ENDED else None,)
        ]

    def add(self, agent: str, entry: Entry) -> None:
        """Commits a row of another journal, as it is there."""
        begun, done = entry.begun, entry.done
        template = _template(begun.number, begun.policy, begun.extra, begun.rung)
        if begun.deaths:
            template.set_user_attr(_DEATHS, begun.deaths)
        if done is not None:
            template.set_user_attr(_EVALUATION, done.model_copy(update={"measured": None}).model_dump_json())
            template.state = TrialState.FAIL if done.score is None else TrialState.COMPLETE
            template.values = None if done.score is None else [done.score]
        set_times(template, entry.started, entry.ended)
        self._known(agent)[begun.number] = self._storage.add_row(self._study(agent), template, _NUMBER)
        if done is not None and done.measured is not None:
            self.measured(done, done.measured)

    def tally(self, agent: str) -> Tally:
        """Counts an agent's evaluations; quicker than to look at each."""
        trials = self._trials(agent).values()
        ended = [trial for trial in trials if trial.state in _ENDED]
        for trial in ended:
            if trial._trial_id not in self._seconds:
                self._seconds[trial._trial_id] = json.loads(trial.user_attrs[_EVALUATION])["seconds"]
        return Tally(
            len(ended),
            sum(trial.state == TrialState.FAIL for trial in ended),
            len(trials) - len(ended),
            sum(self._seconds[trial._trial_id] for trial in ended),
        )

    def begin(
        self,
        agent: str,
        number: int,
        policy: Policy,
        extra: bool = False,
        params: dict[str, Any] | None = None,
        distributions: dict[str, Any] | None = None,
        rung: int = 0,
    ) -> None:
        """Commits that an evaluation begins, unless it has before; Optuna's parameters are for Optuna's own tools."""
        template = _template(number, policy, extra, rung, params, distributions)
        if number not in self._known(agent):
            self._rows[agent][number] = self._storage.add_row(self._study(agent), template, _NUMBER)

    def free(self, agent: str, least: int) -> int:
        """Returns a number above all that an agent's evaluations have, at least this one."""
        return max(least, 1 + max(self._known(agent), default=-1))

    def commit(self, done: Evaluated) -> None:
        """Commits that an evaluation has ended; once it has, this changes nothing."""
        row = self._row(done.agent, done.number)
        state = TrialState.COMPLETE if done.score is not None else TrialState.FAIL
        values = None if done.score is None else [done.score]

        def action(storage: BaseStorage) -> None:
            try:
                storage.set_trial_user_attr(row, _EVALUATION, done.model_dump_json())
                storage.set_trial_state_values(row, state, values)
            except UpdateFinishedTrialError:  # it was committed, and the answer was lost
                pass

        self._storage.do(action)

    def died(self, agent: str, number: int, deaths: int) -> None:
        """Commits how many workers have died of an evaluation that has not ended."""
        row = self._row(agent, number)
        self._storage.do(lambda storage: storage.set_trial_user_attr(row, _DEATHS, deaths))

    def measured(self, done: Evaluated, timing: Timing) -> None:
        """Commits what was measured of a finished evaluation."""
        # rows that have ended are not changed any more, by Optuna's rules: it goes beside them
        row = self._row(done.agent, done.number)
        number = self._storage.do(lambda storage: storage.get_trial(row)).number
        key, value = f"{_MEASURED}:{number}", json.loads(json.dumps(vars(timing)))
        self._storage.do(lambda storage: storage.set_study_user_attr(self._study(done.agent), key, value))

    def _measured(self, agent: str) -> dict[str, Timing]:
        if not self._has(agent):
            return {}
        attributes = self._storage.do(lambda storage: storage.get_study_user_attrs(self._study(agent)))
        prefix = f"{_MEASURED}:"
        return {
            key.removeprefix(prefix): Timing(**{**value, "medians": tuple(value["medians"])})
            for key, value in attributes.items()
            if key.startswith(prefix)
        }

    def _trials(self, agent: str) -> dict[int, FrozenTrial]:
        """Returns the rows of an agent by their numbers, in the order in which they were made."""

        def action(storage: BaseStorage) -> list[FrozenTrial]:
            return list(storage.get_all_trials(self._study(agent), deepcopy=False))

        while self._has(agent):
            try:
                return _by_number(self._storage.do(action))
            except KeyError:  # somebody deleted it, and may have begun it anew
                del self._studies[agent]
        return {}

    def _known(self, agent: str) -> dict[int, int]:
        if agent not in self._rows:
            self._rows[agent] = {number: int(trial._trial_id) for number, trial in self._trials(agent).items()}
        return self._rows[agent]

    def _row(self, agent: str, number: int) -> int:
        if number not in self._known(agent):
            raise KeyError(f"{agent}: evaluation {number} has not begun")
        return self._rows[agent][number]

    def _has(self, agent: str) -> bool:
        return agent in self._studies or agent in self.agents()

    def _study(self, agent: str) -> int:
        if agent not in self._studies:
            name, direction = f"{self._campaign}/{agent}", self._direction
            self._studies[agent] = self._storage.do(
                lambda storage: (
                    optuna.create_study(
                        storage=storage, study_name=name, direction=direction, load_if_exists=True
                    )._study_id
                )
            )
        return self._studies[agent]


def _by_number(trials: list[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Returns rows by the numbers of their evaluations; of two of one number, the one that has ended, or was first."""
    found: dict[int, FrozenTrial] = {}
    for trial in trials:
        number = trial.user_attrs[_NUMBER]
        if number not in found or (trial.state in _ENDED and found[number].state not in _ENDED):
            found[number] = trial
    return found


def _template(
    number: int,
    policy: Policy,
    extra: bool,
    rung: int = 0,
    params: dict[str, Any] | None = None,
    distributions: dict[str, Any] | None = None,
) -> FrozenTrial:
    # as text a policy is a tenth as large in memory, and storages keep all rows there
    about = json.dumps({"policy": policy.to_dict(), "extra": extra, "rung": rung})
    attributes = {_NUMBER: number, BEGUN: about}
    return create_trial(state=TrialState.RUNNING, params=params, distributions=distributions, user_attrs=attributes)


def _begun(trial: FrozenTrial, done: Evaluated | None = None) -> Begun:
    deaths = trial.user_attrs.get(_DEATHS, 0)
    if done is not None:
        return Begun(done.number, done.policy, done.extra, done.rung, deaths)
    about = json.loads(trial.user_attrs[BEGUN])
    policy, rung = Policy.from_dict(about["policy"]), about.get("rung", 0)  # older journals have no rungs
    return Begun(trial.user_attrs[_NUMBER], policy, about["extra"], rung, deaths)


def unfinished(folder: Path) -> bool:
    """Says whether a folder has the journal of a search that has not ended."""
    path = folder / FILE
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            query = "SELECT COUNT(*) FROM study_user_attributes WHERE key = 'state' AND value_json = '\"finished\"'"
            return bool(connection.execute(query).fetchone()[0] == 0)
    except sqlite3.Error:  # damaged: whoever opens it says so
        return True
