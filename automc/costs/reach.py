"""Whether a budget can be reached, and by what."""

from __future__ import annotations

import math

import numpy as np

from automc.costs.budget import Budget
from automc.costs.model import CostModel
from automc.costs.units import format_cost
from automc.errors import BudgetError


def cheapest(model: CostModel, metric: str) -> np.ndarray:
    """Returns option numbers (A,) of a policy from which no single change lowers the metric any further.

    For MACs, parameters and bytes that is the cheapest there is. Latency can rise when a width falls, and memory when a
    layer gets int8, since what others read in float is there twice then. So the ends are not enough; what is returned
    never costs more than the original.
    """
    found = np.stack([_descend(model, metric, start) for start in (np.zeros_like(model.space.full), model.space.full)])
    return model.space.canonical(found[model.prices(found, [metric])[metric].argmin()])


def _descend(model: CostModel, metric: str, start: np.ndarray) -> np.ndarray:
    best = start
    price = model.prices(best[None], [metric])[metric][0]
    improved = True
    while improved:
        improved = False
        for axis, size in enumerate(model.space.sizes):
            candidates = np.repeat(best[None], size, axis=0)
            candidates[:, axis] = np.arange(size)
            prices = model.prices(candidates, [metric])[metric]
            if prices.min() < price:
                best, price, improved = candidates[prices.argmin()], prices.min(), True
    return best


def check_reachable(model: CostModel, budgets: list[Budget]) -> None:
    """Refuses a budget that no policy keeps.

    Raises:
        BudgetError: with the smallest reachable value and what has most of it.
    """
    original = model.prices(model.space.full[None])
    for budget in budgets:
        index = cheapest(model, budget.metric)
        smallest = model.prices(index[None], [budget.metric])[budget.metric][0]
        if smallest > budget.limit(original[budget.metric][0]):
            raise refusal(model, budget, index)


def refusal(model: CostModel, budget: Budget, index: np.ndarray) -> BudgetError:
    """Returns what to say of a budget that cannot be reached.

    Args:
        model: prices policies.
        budget: the one that is too small.
        index: option numbers (A,) of the policy that costs least.
    """
    full, smallest = model.prices(np.stack([model.space.full, index]), [budget.metric])[budget.metric]
    share = min(math.ceil(1000 * smallest / full) / 10, 100)
    parts = list(model.breakdown(index, budget.metric).items())[:3]
    most = ", ".join(f"{name} {format_cost(budget.metric, value)}" for name, value in parts)
    return BudgetError(
        f"budget '{budget.text}' cannot be reached: the smallest {budget.metric} in this space is "
        f"{format_cost(budget.metric, _rounded_up(smallest))} ({share:g}% of the original's "
        f"{format_cost(budget.metric, full)}); most of it is left in {most}. Allow more, or widen the space "
        "(min_keep, channel_multiple, depth; 'automc inspect' lists what is frozen and why)"
    )


def _rounded_up(value: float) -> float:
    """Returns a value of three digits that is not smaller, so that it can be asked for as it is shown."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2) if value > 0 else 1.0
    return math.ceil(value / step) * step
