"""The formulas of rewards; what can be set about one are its keyword arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from automc.errors import ConfigError, nearest

INDEX = "index"
"""Index storage: one bit for every channel of each group that is pruned, which says what was kept of it."""

WEIGHTS = {"accuracy": 5.0, "params": 1.0, "latency": 1.0, "macs": 1.0, "energy": 1.0, INDEX: 1.0}
"""What the six terms of `weighted` weigh by default: accuracy as much as all costs together."""


@dataclass(frozen=True)
class Outcome:
    """What a formula may look at.

    Attributes:
        score: the policy's, finite.
        original: the original network's.
        higher_is_better: the direction of both.
        costs: the policy's, by metric, in the cost model's units; `INDEX` in bits. What is not known here is missing.
        full: the original's, by metric; of `INDEX`, which the original needs none of, the most that a policy can need.
        limits: the budgets' bounds, by metric.
    """

    score: float
    original: float
    higher_is_better: bool
    costs: Mapping[str, float]
    full: Mapping[str, float]
    limits: Mapping[str, float]

    @property
    def error(self) -> float:
        """1 - score; of a score to be minimized, the score."""
        return 1 - self.score if self.higher_is_better else self.score

    @property
    def accuracy(self) -> float:
        """The score, where it is a share as accuracy is one; else raises ConfigError."""
        if not self.higher_is_better:
            raise ConfigError("needs a score of which more is better; for one to be minimized, -error is defined")
        if not 0 <= self.score <= 1:
            raise ConfigError(f"needs a score in [0, 1], not {self.score:g}; for any other, -error is defined")
        return self.score


def error(outcome: Outcome) -> float:
    """Returns -error."""
    return -outcome.error


def error_macs(outcome: Outcome) -> float:
    """Returns -error * ln(MACs), see `_error_log`."""
    return _error_log(outcome, "macs")


def error_params(outcome: Outcome) -> float:
    """Returns -error * ln(parameters), see `_error_log`."""
    return _error_log(outcome, "params")


def haq(outcome: Outcome) -> float:
    """Returns 0.1 * (score - original score), the scores in percent; the difference is negated where lower is better.

    The published code has top-1 in percent, so a loss of one point costs 0.1. A score that is no share is taken times
    100 like any other, which changes the scale of the reward and no order.
    """
    return 0.1 * 100 * (outcome.original - outcome.score) * (-1 if outcome.higher_is_better else 1)


def mnasnet(outcome: Outcome, *, alpha: float = -0.07, beta: float = -0.07) -> float:
    """Returns accuracy * (latency / T)^w, T being the latency budget or, where there is none, the original's latency.

    The published exponents take twice the latency for 5% more accuracy, relatively, as an even trade. A policy within
    T, as every projected one is, is rewarded for being faster still; ``alpha`` 0 and ``beta`` -1, the paper's hard
    constraint, do not.

    Args:
        outcome: the policy's.
        alpha: the exponent w up to T.
        beta: the exponent above T.

    Raises:
        ConfigError: there is no latency, an exponent is above 0 or no number, or the score is no share.
    """
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not _is_number(value) or value > 0:
            raise ConfigError(f"{name} must be a number of at most 0, not {value!r}")
    if "latency" not in outcome.costs:
        raise ConfigError("needs a latency; give a latency table or a model of a device")
    latency, target = outcome.costs["latency"], outcome.limits.get("latency", outcome.full["latency"])
    if latency <= 0:
        raise ConfigError(f"needs a latency above 0, not {latency:g} µs; measure the table anew")
    return outcome.accuracy * (latency / target) ** float(alpha if latency <= target else beta)


def weighted(outcome: Outcome, *, weights: Mapping[str, float] | None = None) -> float:
    """Returns the weighted mean of accuracy / original accuracy and of the shares of costs that are saved.

    The share saved is 1 - cost / original cost; of index storage, 1 - bits / most bits. The definition is our own.
    Nothing that AutoMC writes stores an index, since pruned networks are dense: the term is for formats that do, and
    it favours pruning few groups.

    Args:
        outcome: the policy's.
        weights: of the terms in `WEIGHTS`; 0 of those that are not named. Without it, `WEIGHTS` but for terms whose
            cost is not known here, as energy where the device gives none.

    Raises:
        ConfigError: a weight makes no sense or is of a cost that is not known, or the score is no share.
    """
    named = weights is not None
    weights = WEIGHTS if weights is None else weights
    if not isinstance(weights, Mapping):
        raise ConfigError(f"weights must be numbers by name ({', '.join(WEIGHTS)}), not {weights!r}")
    for name, weight in weights.items():
        if name not in WEIGHTS:
            raise ConfigError(f"weights: unknown term '{name}'{nearest(name, WEIGHTS)}")
        if not _is_number(weight) or weight < 0:
            raise ConfigError(f"weights: {name} must be a number of at least 0, not {weight!r}")
    if not weights.get("accuracy"):
        raise ConfigError("weights: accuracy must be above 0, or nothing is learned from scores")
    if not 0 < outcome.original <= 1:
        raise ConfigError(f"needs an original score in (0, 1], not {outcome.original:g}; -error needs none")
    terms = {name: 1 - cost / outcome.full[name] for name, cost in outcome.costs.items() if outcome.full[name] > 0}
    terms["accuracy"] = outcome.accuracy / outcome.original
    counted = {name: weight for name, weight in weights.items() if weight and (named or name in terms)}
    for name in counted:
        if name not in terms:
            raise ConfigError(f"weights: {name} is not known here; leave it out, or give a device that has it")
    return sum(weight * terms[name] for name, weight in counted.items()) / sum(counted.values())


def _error_log(outcome: Outcome, metric: str) -> float:
    """Returns -error * ln(cost), which falls with the cost unless there is no error.

    Raises:
        ConfigError: the error is below 0 or the cost not above 1, so that a higher cost would be worth more.
    """
    cost = outcome.costs[metric]
    if outcome.error < 0:
        least = "at most 1" if outcome.higher_is_better else "at least 0"
        raise ConfigError(f"needs a score of {least}, not {outcome.score:g}; for any other, -error is defined")
    if cost <= 1:
        raise ConfigError(f"needs more than one of {metric}, not {cost:g}; -error needs none")
    return -outcome.error * math.log(cost)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
