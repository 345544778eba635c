"""What the agents share that are Optuna's samplers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import BaseModel

from automc.agents._base import ATTEMPTS, Agent, Problem
from automc.search_spaces import Policy

RANDOM = 20
"""Proposals before the first that is learned; Optuna's 10 are few for a hundred axes."""

_NAME = "policies"
_NOBODY = create_trial(state=TrialState.RUNNING)._trial_id


class SamplerAgent(Agent):
    """Asks a sampler of Optuna for policies; the uniform policies and random ones come first.

    The random ones are those that `random` proposes with the same seed: the two are compared from the same start.
    What is learned are projected policies, those that were evaluated, not the samples that they were before. For each
    axis a sampler sees the number of the option, an integer.

    Each sample is that of a sampler of its own, seeded by the proposal's number, from trials that only `learn` adds, in
    its order: nothing depends on who asked before. They lie in this process's memory, where nobody else writes; they
    are never read from a journal, an archive or a file.

    Attributes:
        keeps: how many of the best and of the latest trials are kept once there are twice as many; None keeps all.
    """

    keeps: ClassVar[tuple[int, int] | None] = None

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {axis.name: IntDistribution(0, len(axis.options) - 1) for axis in problem.space.axes}
        self._open: dict[str, BaseDistribution] = {
            name: one for name, one in sorted(self._distributions.items()) if not one.single()
        }
        self._start([])

    @abstractmethod
    def _sampler(self, seed: int) -> BaseSampler:
        """Returns the sampler for one sample."""

    def _directions(self) -> list[StudyDirection]:
        """Returns where each value of a trial is to go."""
        return [StudyDirection.MAXIMIZE if self.problem.higher_is_better else StudyDirection.MINIMIZE]

    def _values(self, policy: Policy, score: float) -> list[float]:
        """Returns what a trial is worth."""
        return [score]

    def _attributes(self, params: dict[str, Any]) -> dict[str, Any]:
        """Returns what the sampler has to know of the next trial beside its parameters."""
        return {}

    def _propose(self, number: int, attempt: int) -> Policy | None:
        if (policy := self.problem.first(number, attempt)) is not None:
            return policy
        generator = self.generator(number, attempt)
        if number < RANDOM or attempt >= ATTEMPTS // 2:  # nothing to learn from, or known policies only: explore
            return self.problem.sample(generator)
        sample = self._sample(int(generator.integers(2**31)))
        if not sample:  # nearly all have failed
            return self.problem.sample(generator)
        for name in [name for name in self._open if name not in sample]:  # those that it wants drawn by chance
            sample[name] = generator.integers(self._distributions[name].high + 1)
        return self.problem.policy(np.array([sample.get(axis.name, 0) for axis in self.problem.space.axes]))

    def _sample(self, seed: int, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns a sample of the open axes, some or all, or none where there is too little to learn from.

        Only a sample is of use, since what is learned was projected: no trial is asked for, as it would stay.

        Args:
            seed: of the sampler.
            attributes: of the trial that is sampled for.
        """
        trial = create_trial(state=TrialState.RUNNING, system_attrs=attributes)
        self._storage.notes.clear()
        sample: dict[str, Any] = self._sampler(seed).sample_relative(self._fresh(), trial, self._open)
        return sample

    def _fresh(self) -> optuna.Study:
        """Returns the study as it is: one that nobody asks for trials goes on with those that it read first."""
        return optuna.load_study(study_name=_NAME, storage=self._storage)

    def _learn(self, policy: Policy, score: float | None) -> None:
        """Adds a finished trial; a failed one says nothing about where good policies are."""
        if score is None:
            return
        params, distributions = self.parameters(policy)
        values, attributes = self._values(policy, score), self._attributes(params)
        trial = create_trial(params=params, distributions=distributions, values=values, system_attrs=attributes)
        self._study.add_trial(trial)
        self._trials += 1
        if self.keeps is not None and self._trials == 2 * sum(self.keeps):
            good, recent = self.keeps
            trials = self._study.get_trials(deepcopy=False)
            merits = [self.problem.merit(trial.values[0]) for trial in trials[:-recent]]
            best = sorted(np.argsort(-np.array(merits), kind="stable")[:good])
            self._start([*(trials[number] for number in best), *trials[-recent:]])

    def _start(self, trials: Sequence[FrozenTrial]) -> None:
        """Goes on with these trials only."""
        self._storage = _Storage()
        self._study = optuna.create_study(storage=self._storage, study_name=_NAME, directions=self._directions())
        self._study.add_trials(trials)
        self._trials = len(trials)

    def parameters(self, policy: Policy) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the number of the option chosen on each axis."""
        index = self.problem.space.encode(policy).tolist()
        return dict(zip(self._distributions, index, strict=True)), dict(self._distributions)


class _Storage(InMemoryStorage):
    """Trials in memory. What samplers note on the trial that they sample for, which is in no study, is kept apart.

    Attributes:
        notes: what was noted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, Any] = {}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if trial_id == _NOBODY:
            self.notes[key] = value
        else:
            super().set_trial_system_attr(trial_id, key, value)
