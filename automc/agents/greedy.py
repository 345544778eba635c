"""Greedy search over sensitivities: what hurts least for what it saves goes first; one evaluation."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np

from automc.agents._base import Agent
from automc.agents._neighbours import neighbours
from automc.search_spaces import Policy


class Greedy(Agent):
    """Proposes one policy: from the network as it is, always the step with the least harm for what it saves.

    A step gives one axis any lower option. What it saves is of the budget that is most over at the time, by the cost
    model's exact prices of all steps at once; what it harms is by `Sensitivities.of`, so that a block takes the harms
    of the axes inside with it. Once all budgets are kept, what still fits is raised again, always what takes most harm
    away. Where no single step saves anything, as where two operators share the peak of memory, the policy reached by
    then is projected onto the budgets.
    """

    proposals: ClassVar[int | None] = 1
    learns: ClassVar[bool] = False
    needs_sensitivities: ClassVar[bool] = True

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self._found if number == 0 else None

    @cached_property
    def _found(self) -> Policy:
        projection, index = self.problem.projection, self.problem.space.full
        while not projection.fits(index[None])[0]:
            lower = self._lowered(index)
            if lower is None:
                index = projection.project(index)
                break
            index = lower
        while (higher := self._raised(index)) is not None:
            index = higher
        return self.problem.space.decode(index)

    def _lowered(self, index: np.ndarray) -> np.ndarray | None:
        """Returns the policy (A,) after the step with the least harm for what it saves; None where none saves."""
        model, limits = self.problem.projection.model, self.problem.projection.limits
        policies = np.concatenate([index[None], neighbours(self.problem.space, index, lower=True)[0]])
        prices = model.prices(policies, limits)
        metric = max(limits, key=lambda name: prices[name][0] / limits[name])
        price, candidates = prices[metric][0], prices[metric][1:]
        saved = price - candidates
        if not (saved > 0).any():
            return None
        harms = self._harms(policies)
        ratios = np.where(saved > 0, (harms[1:] - harms[0]) / np.where(saved > 0, saved, 1), np.inf)
        return np.asarray(policies[1:][ratios.argmin()])

    def _raised(self, index: np.ndarray) -> np.ndarray | None:
        """Returns the policy (A,) after the step up that fits and takes most harm away; None where none does."""
        steps, _ = neighbours(self.problem.space, index, lower=False)
        if not len(steps):
            return None
        gains = self._harms(index[None]) - self._harms(steps)
        gains = np.where(self.problem.projection.fits(steps), gains, 0)
        return np.asarray(steps[gains.argmax()]) if gains.max() > 0 else None

    def _harms(self, indices: np.ndarray) -> np.ndarray:
        assert self.problem.sensitivities is not None  # whoever makes an agent sees to it
        return self.problem.sensitivities.of(indices)
