"""Optuna's relational storage, made for journals: many rows, long ones, each written once."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Select, delete, or_, select

_OF_TRIALS = (
    models.TrialUserAttributeModel,
    models.TrialSystemAttributeModel,
    models.TrialParamModel,
    models.TrialValueModel,
    models.TrialIntermediateValueModel,
    models.TrialHeartbeatModel,
)
_OF_STUDIES = (models.StudyUserAttributeModel, models.StudySystemAttributeModel, models.StudyDirectionModel)

# SQLite gives the number of a deleted row to the next new one, which whoever remembers the old one takes for it
for _model in (models.StudyModel, models.TrialModel):
    _model.__table__.dialect_options["sqlite"]["autoincrement"] = True


BEGUN = "begun"
"""The attribute of a row that tells what began; what has ended tells it itself."""


class Rows(RDBStorage):
    """An `RDBStorage` for rows with dozens of parameters that only Optuna's own tools read.

    - Trials are read without parameters: 81 of each of 10,000 trials are more than a gigabyte. Of those that have ended
      what is only of use until then, `BEGUN`, is not read either.
    - Parameters are written without a look at those of earlier trials; a journal's are all of one space.
    - A trial is tried to be made once. Optuna tries five times, and where what was lost is the database's answer, there
      are two rows; `Journal` looks first.
    - Studies are deleted by a statement for each table, not row by row.
    """

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        template = template_trial or create_trial(state=TrialState.RUNNING)
        frozen = copy.copy(template)
        with _create_scoped_session(self.scoped_session) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            trial = self._get_prepared_new_trial(study_id, template, session)
            frozen.number, frozen._trial_id = int(trial.number), int(trial.trial_id)
        frozen._params, frozen._distributions, frozen.user_attrs = {}, {}, {}  # before it is looked at, it is read
        return frozen

    def _set_trial_param_without_commit(
        self,
        session: Any,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        session.add(
            models.TrialParamModel(
                trial_id=trial_id,
                param_name=param_name,
                param_value=param_value_internal,
                distribution_json=distribution_to_json(distribution),
            )
        )

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        trial, attribute, number = models.TrialModel, models.TrialUserAttributeModel, models.TrialValueModel
        wanted: list[Any] = [trial.study_id == study_id]
        if trial_id_greater_than > -1:
            older = [one for one in included_trial_ids if one <= trial_id_greater_than]
            wanted.append(or_(trial.trial_id.in_(older), trial.trial_id > trial_id_greater_than))

        def of_trials(*columns: Any) -> Select[Any]:
            return select(*columns).join(trial, columns[0] == trial.trial_id).where(*wanted)

        attributes: dict[int, dict[str, Any]] = defaultdict(dict)
        values: dict[int, list[float]] = {}
        with _create_scoped_session(self.scoped_session) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session)
            times = trial._datetime_start_utc, trial._datetime_complete_utc
            rows = session.execute(select(trial.trial_id, trial.number, trial.state, *times).where(*wanted)).all()
            ended = {row.trial_id for row in rows if row.state.is_finished()}
            if rows:
                # states first: of what has ended, all the rest is there; what is added meanwhile has not
                texts = of_trials(attribute.trial_id, attribute.key, attribute.value_json)
                texts = texts.execution_options(yield_per=_AT_ONCE)
                for one, key, value in session.execute(texts):
                    if key != BEGUN or one not in ended:
                        attributes[one][key] = json.loads(value)
                for one, value, kind in session.execute(of_trials(number.trial_id, number.value, number.value_type)):
                    values[one] = [number.stored_repr_to_value(value, kind)]
        return [
            FrozenTrial(
                number=order,
                state=state,
                value=None,
                values=values.get(one),
                datetime_start=_local(start),
                datetime_complete=_local(end),
                params={},
                distributions={},
                user_attrs=attributes[one],
                system_attrs={},
                intermediate_values={},
                trial_id=one,
            )
            for one, order, state, start, end in sorted(rows, key=lambda row: row[0])
            if states is None or state in states
        ]

    def delete_study(self, study_id: int) -> None:
        """Deletes a study and all of its trials; raises KeyError where there is none."""
        trials = select(models.TrialModel.trial_id).where(models.TrialModel.study_id == study_id)
        with _create_scoped_session(self.scoped_session) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session)
            for table in _OF_TRIALS:
                session.execute(delete(table).where(table.trial_id.in_(trials)), execution_options=_PLAIN)
            for table in (models.TrialModel, *_OF_STUDIES, models.StudyModel):
                session.execute(delete(table).where(table.study_id == study_id), execution_options=_PLAIN)


_AT_ONCE = 500  # attributes, of some kilobytes each
_PLAIN = {"synchronize_session": False}


def _local(utc: datetime | None) -> datetime | None:
    """As Optuna gives times: local, without a zone."""
    return utc and utc.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
