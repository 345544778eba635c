"""Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import BaseModel

from automc.agents._base import ATTEMPTS, Agent, Problem
from automc.search_spaces import Policy

_NAME = "tpe"
_RANDOM = 20  # proposals before the first that is learned; Optuna's 10 are few for a hundred axes
_GOOD = 25  # trials that TPE in Optuna models as good ones, at most
_RECENT = 500  # others that are kept: a proposal takes time in proportion (`benchmarks/campaigns/tpe.py`)


class TPE(Agent):
    """Samples each axis where good policies were found; the uniform policies and random ones come first.

    The random ones are those that `random` proposes with the same seed: the two are compared from the same start.
    It learns from the projected policy, the one that was evaluated, not from the one it sampled before.

    As published, a proposal reads all trials. Here, once there are twice 525, all but the 25 best and the latest 500
    are forgotten: the model of good ones is that of the best 25 anyway, and that of the others counts old ones less.
    """

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {axis.name: IntDistribution(0, len(axis.options) - 1) for axis in problem.space.axes}
        self._open: dict[str, BaseDistribution] = {
            name: one for name, one in sorted(self._distributions.items()) if not one.single()
        }
        self._start([])

    def _propose(self, number: int, attempt: int) -> Policy | None:
        if number == attempt == 0:
            return self.problem.uniform()
        if number == 1 and attempt == 0 and (policy := self.problem.uniform_int8()) is not None:
            return policy
        generator = self.generator(number, attempt)
        if number < _RANDOM or attempt >= ATTEMPTS // 2:  # nothing to learn from, or known policies only: explore
            return self.problem.sample(generator)
        # Only a sample is of use, since what is learned was projected: no trial is asked for, as it would stay. A study
        # that nobody asks for one goes on with the trials that it read first; hence one for each sample.
        sampler = TPESampler(seed=int(generator.integers(2**31)), multivariate=True, constant_liar=False)
        study = optuna.load_study(study_name=_NAME, storage=self._storage)
        sample = sampler.sample_relative(study, create_trial(state=TrialState.RUNNING), self._open)
        if not sample:  # nearly all have failed
            return self.problem.sample(generator)
        return self.problem.policy(np.array([sample.get(axis.name, 0) for axis in self.problem.space.axes]))

    def _learn(self, policy: Policy, score: float | None) -> None:
        """Adds a finished trial; a failed one says nothing about where good policies are."""
        if score is None:
            return
        params, distributions = self.parameters(policy)
        self._study.add_trial(create_trial(params=params, distributions=distributions, value=score))
        self._trials += 1
        if self._trials == 2 * (_GOOD + _RECENT):
            trials = self._study.get_trials(deepcopy=False)
            merits = [self.problem.merit(trial.values[0]) for trial in trials[:-_RECENT]]
            best = sorted(np.argsort(-np.array(merits), kind="stable")[:_GOOD])
            self._start([*(trials[number] for number in best), *trials[-_RECENT:]])

    def _start(self, trials: Sequence[FrozenTrial]) -> None:
        """Goes on with these trials only."""
        direction = StudyDirection.MAXIMIZE if self.problem.higher_is_better else StudyDirection.MINIMIZE
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, study_name=_NAME, direction=direction)
        self._study.add_trials(trials)
        self._trials = len(trials)

    def parameters(self, policy: Policy) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the number of the option chosen on each axis."""
        index = self.problem.space.encode(policy).tolist()
        return dict(zip(self._distributions, index, strict=True)), dict(self._distributions)
