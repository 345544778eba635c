"""Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011)."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial
from pydantic import BaseModel

from automc.agents._base import ATTEMPTS, Agent, Problem
from automc.search_spaces import Policy

_RANDOM = 20  # proposals before the first that is learned; Optuna's 10 are few for a hundred axes


class TPE(Agent):
    """Samples each axis where good policies were found; the uniform policies and random ones come first.

    The random ones are those that `random` proposes with the same seed: the two are compared from the same start.
    It learns from the projected policy, the one that was evaluated, not from the one it sampled before.
    """

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {axis.name: IntDistribution(0, len(axis.options) - 1) for axis in problem.space.axes}
        self._study = optuna.create_study(direction="maximize" if problem.higher_is_better else "minimize")

    def _propose(self, number: int, attempt: int) -> Policy | None:
        if number == attempt == 0:
            return self.problem.uniform()
        if number == 1 and attempt == 0 and (policy := self.problem.uniform_int8()) is not None:
            return policy
        generator = self.generator(number, attempt)
        if number < _RANDOM or attempt >= ATTEMPTS // 2:  # nothing to learn from, or known policies only: explore
            return self.problem.sample(generator)
        seed = int(generator.integers(2**31))
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
        trial = self._study.ask(dict(self._distributions))
        self._study.tell(trial, state=TrialState.FAIL)  # only its sample is of use: what is learned was projected
        return self.problem.policy(np.array([trial.params[axis.name] for axis in self.problem.space.axes]))

    def _learn(self, policy: Policy, score: float | None) -> None:
        """Adds a finished trial; a failed one says nothing about where good policies are."""
        if score is not None:
            params, distributions = self.parameters(policy)
            self._study.add_trial(create_trial(params=params, distributions=distributions, value=score))

    def parameters(self, policy: Policy) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the number of the option chosen on each axis."""
        index = self.problem.space.encode(policy).tolist()
        return dict(zip(self._distributions, index, strict=True)), dict(self._distributions)
