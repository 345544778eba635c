"""Greedy search over sensitivities: what hurts least for what it saves goes first; one evaluation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from automc.agents._base import Agent
from automc.agents._neighbours import neighbours
from automc.costs import Projection
from automc.search_spaces import Policy
from automc.sensitivities import Sensitivities


class Greedy(Agent):
    """Proposes one policy: from the network as it is, always the step with the least harm for what it saves."""

    proposals: ClassVar[int | None] = 1
    learns: ClassVar[bool] = False
    needs_sensitivities: ClassVar[bool] = True

    def _propose(self, number: int, attempt: int) -> Policy | None:
        if number:
            return None
        assert self.problem.sensitivities is not None  # whoever makes an agent sees to it
        return self.problem.space.decode(descend(self.problem.projection, self.problem.sensitivities))


def descend(projection: Projection, sensitivities: Sensitivities) -> np.ndarray:
    """Returns a policy (A,) that keeps the budgets, step by step from the network as it is.

    A step gives one axis any lower option. What it saves is of the budget that is most over at the time, by the cost
    model's exact prices of all steps at once; what it harms is by `Sensitivities.of`, so that a block takes the harms
    of the axes inside with it. Once all budgets are kept, what still fits is raised again, always what takes most harm
    away. Where no single step saves anything, as where two operators share the peak of memory, the policy reached by
    then is projected onto the budgets.

    Args:
        projection: the budgets.
        sensitivities: what each option hurts.
    """
    index = projection.model.space.full
    while not projection.fits(index[None])[0]:
        lower = _lowered(projection, sensitivities, index)
        if lower is None:
            index = projection.project(index)
            break
        index = lower
    while (higher := _raised(projection, sensitivities, index)) is not None:
        index = higher
    return index


def _lowered(projection: Projection, sensitivities: Sensitivities, index: np.ndarray) -> np.ndarray | None:
    """Returns the policy (A,) after the step with the least harm for what it saves; None where none saves."""
    model, limits = projection.model, projection.limits
    policies = np.concatenate([index[None], neighbours(model.space, index, lower=True)[0]])
    prices = model.prices(policies, limits)
    metric = max(limits, key=lambda name: prices[name][0] / limits[name])
    saved = prices[metric][0] - prices[metric][1:]
    if not (saved > 0).any():
        return None
    harms = sensitivities.of(policies)
    ratios = np.where(saved > 0, (harms[1:] - harms[0]) / np.where(saved > 0, saved, 1), np.inf)
    return np.asarray(policies[1:][ratios.argmin()])


def _raised(projection: Projection, sensitivities: Sensitivities, index: np.ndarray) -> np.ndarray | None:
    """Returns the policy (A,) after the step up that fits and takes most harm away; None where none does."""
    steps, _ = neighbours(projection.model.space, index, lower=False)
    if not len(steps):
        return None
    gains = sensitivities.of(index) - sensitivities.of(steps)
    gains = np.where(projection.fits(steps), gains, 0)
    return np.asarray(steps[gains.argmax()]) if gains.max() > 0 else None
