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

from automc.campaigns.result import Evaluated
from automc.campaigns.storage import Storage
from automc.devices import Timing
from automc.search_spaces import Policy

_EVALUATION, _BEGUN, _DEATHS, _MEASURED = "evaluation", "begun", "deaths", "measured"
_FINISHED = (TrialState.COMPLETE, TrialState.FAIL)


FILE = "journal.db"
"""The journal of a search that has a storage of its own, in the folder it writes to."""


@dataclass(frozen=True)
class Begun:
    """An evaluation that began and has not ended.

    Attributes:
        number: which evaluation of its agent.
        policy: what is evaluated.
        extra: whether it came after the search, because measured latency was over the budget.
        deaths: how many workers died of it.
    """

    number: int
    policy: Policy
    extra: bool = False
    deaths: int = 0


class Journal:
    """The evaluations of one campaign.

    Args:
        storage: where they are kept.
        campaign: its name; its studies are ``campaign/agent``.
        higher_is_better: the direction of the studies, for Optuna's own tools.
    """

    def __init__(self, storage: Storage, campaign: str, higher_is_better: bool = True) -> None:
        self._storage, self._campaign = storage, campaign
        self._direction = StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE
        self._studies: dict[str, int] = {}
        self._rows: dict[tuple[str, int], int] = {}

    def agents(self) -> list[str]:
        """Returns who has evaluations."""
        prefix = f"{self._campaign}/"
        studies = self._storage.do(lambda storage: storage.get_all_studies())
        return [study.study_name.removeprefix(prefix) for study in studies if study.study_name.startswith(prefix)]

    def evaluations(self, agent: str) -> list[Evaluated]:
        """Returns an agent's finished evaluations, those that failed too, in the order in which they were proposed."""
        measured = self._measured(agent)
        done = [
            Evaluated.model_validate_json(trial.user_attrs[_EVALUATION]).model_copy(
                update={"measured": measured.get(str(trial.number))}
            )
            for trial in self._trials(agent, _FINISHED)
        ]
        return sorted(done, key=lambda one: one.number)

    def news(self, agent: str, seen: Container[int]) -> Iterator[tuple[int, datetime, Evaluated]]:
        """Yields row, end and evaluation of an agent's finished ones whose rows are not among those seen."""
        for trial in self._trials(agent, _FINISHED):
            if trial.number not in seen and trial.datetime_complete is not None:
                evaluation = Evaluated.model_validate_json(trial.user_attrs[_EVALUATION])
                yield trial.number, trial.datetime_complete, evaluation

    def begun(self, agent: str) -> list[Begun]:
        """Returns an agent's evaluations that began and have not ended, in order."""
        rows = [
            Begun(begun["number"], Policy.from_dict(begun["policy"]), begun["extra"], trial.user_attrs.get(_DEATHS, 0))
            for trial in self._trials(agent, (TrialState.RUNNING,))
            for begun in [trial.user_attrs[_BEGUN]]
        ]
        return sorted(rows, key=lambda row: row.number)

    def begin(
        self,
        agent: str,
        number: int,
        policy: Policy,
        extra: bool = False,
        params: dict[str, Any] | None = None,
        distributions: dict[str, Any] | None = None,
    ) -> None:
        """Commits that an evaluation begins, unless it has before; Optuna's parameters are for Optuna's own tools."""
        about = {"number": number, "policy": policy.to_dict(), "extra": extra}
        template = create_trial(
            state=TrialState.RUNNING, params=params, distributions=distributions, user_attrs={_BEGUN: about}
        )

        def action(storage: BaseStorage) -> None:
            # what was lost may be the answer, and not the row
            if (row := self._find(agent, number)) is None:
                row = storage.create_new_trial(self._study(agent), template)
            self._rows[agent, number] = row

        if (agent, number) not in self._rows:
            self._storage.do(action)

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
        attributes = self._storage.do(lambda storage: storage.get_study_user_attrs(self._study(agent)))
        prefix = f"{_MEASURED}:"
        return {
            key.removeprefix(prefix): Timing(**{**value, "medians": tuple(value["medians"])})
            for key, value in attributes.items()
            if key.startswith(prefix)
        }

    def _trials(self, agent: str, states: tuple[TrialState, ...]) -> list[FrozenTrial]:
        return self._storage.do(
            lambda storage: storage.get_all_trials(self._study(agent), deepcopy=False, states=states)
        )

    def _row(self, agent: str, number: int) -> int:
        if (agent, number) not in self._rows:
            found = self._storage.do(lambda _: self._find(agent, number))
            if found is None:
                raise KeyError(f"{agent}: evaluation {number} has not begun")
            self._rows[agent, number] = found
        return self._rows[agent, number]

    def _find(self, agent: str, number: int) -> int | None:
        trials = self._storage.optuna.get_all_trials(self._study(agent), deepcopy=False)
        return next((int(t._trial_id) for t in reversed(trials) if t.user_attrs[_BEGUN]["number"] == number), None)

    def _study(self, agent: str) -> int:
        if agent not in self._studies:
            study = optuna.create_study(
                storage=self._storage.optuna,
                study_name=f"{self._campaign}/{agent}",
                direction=self._direction,
                load_if_exists=True,
            )
            self._studies[agent] = study._study_id
        return self._studies[agent]


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
