"""Rewards, by name: what a scored policy is worth to an agent that learns."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from automc.costs import Projection
from automc.envs import formulas
from automc.envs._base import finite
from automc.envs.formulas import INDEX, Outcome
from automc.errors import ConfigError, nearest
from automc.search_spaces import Policy


@dataclass(frozen=True)
class Formula:
    """A reward as it is published, or as we define it.

    Attributes:
        compute: gives it for an outcome; its keyword arguments are the reward's settings.
        text: the same, for readers.
        source: where it is from.
        metrics: what it looks at of a policy's costs.
    """

    compute: Callable[..., float]
    text: str
    source: str
    metrics: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """What can be set, with its default."""
        parameters = inspect.signature(self.compute).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


REWARDS: dict[str, Formula] = {
    "-error": Formula(formulas.error, "-error", "AMC (He et al., ECCV 2018): compression within a resource budget"),
    "-error*log(macs)": Formula(
        formulas.error_macs,
        "-error * ln(MACs)",
        "AMC: R_FLOPs, accuracy-guaranteed compression",
        ("macs",),
    ),
    "-error*log(params)": Formula(
        formulas.error_params,
        "-error * ln(parameters)",
        "AMC: R_Param, accuracy-guaranteed compression",
        ("params",),
    ),
    "haq": Formula(
        formulas.haq,
        "0.1 * (score - original score), the scores in percent",
        "HAQ (Wang et al., CVPR 2019), percent as in its code",
    ),
    "mnasnet": Formula(
        formulas.mnasnet,
        "accuracy * (latency / T)^w; T: the latency budget, else the original's latency",
        "MnasNet (Tan et al., CVPR 2019): soft constraint, w = alpha up to T, beta above",
        ("latency",),
    ),
    "weighted": Formula(
        formulas.weighted,
        "weighted mean of accuracy / original accuracy and of the saved shares of parameters, latency, MACs, energy "
        "and index storage",
        "our own definition",
        ("params", "latency", "macs", "energy", INDEX),
    ),
}
"""Each reward, by its name."""


class Reward:
    """Turns scores of policies into rewards.

    The error is 1 - score; of a score to be minimized, the score. What a formula looks at is priced at every call,
    and nothing else.

    Args:
        name: one of `REWARDS`.
        projection: prices policies and knows the budgets.
        original: the original network's score; as good as a perfect one where nobody knows it.
        higher_is_better: the direction of scores.
        settings: of the formula, see `Formula.settings`.

    Raises:
        ConfigError: there is no such reward or setting, a setting makes no sense, or the reward is not defined for
            such scores or for what is known of costs.
    """

    def __init__(
        self,
        name: str,
        projection: Projection,
        original: float | None = None,
        higher_is_better: bool = True,
        **settings: Any,
    ) -> None:
        if name not in REWARDS:
            raise ConfigError(f"unknown reward '{name}'{nearest(name, REWARDS)}")
        self.name, self._formula, self._settings = name, REWARDS[name], settings
        for setting in settings:
            known = self._formula.settings
            if setting not in known:
                raise ConfigError(
                    f"reward '{name}' has no setting '{setting}'{nearest(setting, known) if known else ''}"
                )
        self._projection, self._higher_is_better = projection, higher_is_better
        space = projection.model.space
        self._channels = np.array([max(axis.options) if axis.field == "channels" else 0 for axis in space.axes])
        self._full = self._prices(space.full)
        if INDEX in self._full:
            self._full[INDEX] = float(self._channels.sum())
        self._original = float(higher_is_better) if original is None else original
        self._earned(self._original, self._prices(space.full))  # refuses now what it would refuse at every call

    def __call__(self, policy: Policy, score: float) -> float:
        """Returns the reward of a policy with a score.

        Raises:
            ConfigError: the reward is not defined for this score, or the policy is not from the space.
            ValueError: the score is no finite number.
        """
        return self._earned(score, self._prices(self._projection.model.space.encode(policy)))

    def _earned(self, score: float, costs: dict[str, float]) -> float:
        limits = self._projection.limits
        outcome = Outcome(finite("a score", score), self._original, self._higher_is_better, costs, self._full, limits)
        try:
            return float(self._formula.compute(outcome, **self._settings))
        except ConfigError as error:
            raise ConfigError(f"reward '{self.name}': {error}") from None

    def _prices(self, index: np.ndarray) -> dict[str, float]:
        """Returns what the formula looks at of the costs of option numbers (A,), by metric, as far as it is known."""
        model = self._projection.model
        wanted = [metric for metric in self._formula.metrics if metric in model.metrics]
        prices = model.prices(index[None], wanted) if wanted else {}
        costs = {metric: float(prices[metric][0]) for metric in wanted}
        if INDEX in self._formula.metrics:
            costs[INDEX] = float(self._channels[index < model.space.full].sum())
        return costs
