"""Optuna's CMA-ES (Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772), on the package ``cmaes``."""

from __future__ import annotations

import math
from typing import Any

from optuna.samplers import CmaEsSampler
from pydantic import BaseModel

from automc.agents._base import Problem
from automc.agents.samplers._base import RANDOM, SamplerAgent


class CMAES(SamplerAgent):
    """Moves a normal distribution over all axes at once towards policies that were good.

    It starts in the middle of the space and learns from generations of 4 + 3 ln(axes) policies, 17 for 81 axes, in the
    order in which they are learned; the first 20, which were not its own, are in none. Where proposals are made ahead,
    some of a generation come from the distribution before.

    A sample over the budgets is projected, and the projected policy is learned in its place: a repair that is called
    Lamarckian (Whitley et al., PPSN 1994). The distribution so moves to where policies keep the budgets by themselves.

    Optuna keeps the distribution pickled in an attribute of a trial. Here it is that of a generation's first trial,
    which this object made and no file ever has: a resumed search computes it again from scores.
    """

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        self._population = 4 + math.floor(3 * math.log(max(1, len(self._open))))
        self._told = 0

    def _sampler(self, seed: int) -> CmaEsSampler:
        return CmaEsSampler(seed=seed, popsize=self._population)

    def _attributes(self, params: dict[str, Any]) -> dict[str, Any]:
        """Returns a trial's generation, and with its first the distribution that was learned from the one before."""
        self._told += 1
        if self._told <= RANDOM:
            return {}
        generation, place = divmod(self._told - RANDOM - 1, self._population)
        attributes: dict[str, Any] = {}
        if generation and place == 0:
            self._sample(0)  # which learns the generation that is complete, whatever the seed
            attributes = dict(self._storage.notes)
            self._start([])  # all that it was learned from is in the distribution
        return attributes | {self._sampler(0)._attr_key_generation: generation}
