"""Rewards, by name: what a scored policy is worth to an agent that learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from automc.costs import Projection
from automc.errors import ConfigError, nearest
from automc.search_spaces import Policy


@dataclass(frozen=True)
class Outcome:
    """What a reward may look at.

    Attributes:
        merit: the score, negated where lower is better.
        original: the original network's.
        costs: of the policy, by metric, in the cost model's units.
        full: the original's.
        limits: the budgets' bounds, by metric.
    """

    merit: float
    original: float
    costs: dict[str, float]
    full: dict[str, float]
    limits: dict[str, float]

    @property
    def error(self) -> float:
        """One minus accuracy; of a score to be minimized, the score."""
        return 1 - self.merit if self.original >= 0 else -self.merit


REWARDS: dict[str, tuple[Callable[[Outcome], float], str]] = {
    "-error": (lambda outcome: -outcome.error, "AMC (He et al., ECCV 2018), section 3.4: within a resource budget"),
}
"""Each reward's formula and where it is from, by name."""


class Reward:
    """Turns scores of policies into rewards.

    Args:
        name: one of `REWARDS`.
        projection: prices policies and knows the budgets.
        original: the original network's score; as good as a perfect one where nobody knows it.
        higher_is_better: the direction of scores.

    Raises:
        ConfigError: there is no such reward.
    """

    def __init__(
        self, name: str, projection: Projection, original: float | None = None, higher_is_better: bool = True
    ) -> None:
        if name not in REWARDS:
            raise ConfigError(f"unknown reward '{name}'{nearest(name, REWARDS)}")
        self._formula = REWARDS[name][0]
        self._projection, self._sign = projection, 1 if higher_is_better else -1
        self._original = self._sign * original if original is not None else float(higher_is_better)
        model = projection.model
        self._full = {metric: float(prices[0]) for metric, prices in model.prices(model.space.full[None]).items()}

    def __call__(self, policy: Policy, score: float) -> float:
        """Returns the reward of a policy with a score.

        Raises:
            ValueError: the reward is not defined for this score.
        """
        model = self._projection.model
        prices = model.prices(model.space.encode(policy)[None])
        costs = {metric: float(values[0]) for metric, values in prices.items()}
        reward = self._formula(Outcome(self._sign * score, self._original, costs, self._full, self._projection.limits))
        if not np.isfinite(reward):
            raise ValueError(f"the reward of a policy with score {score} is {reward}")
        return float(reward)
