"""Budgets: what they say, what they allow, and whether they can be reached."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from automc.costs.model import METRICS, CostModel
from automc.errors import BudgetError, ConfigError, nearest

_UNITS = {
    "latency": {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6},
    "size": {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30},
    "macs": {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9},
    "params": {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9},
}
_PATTERN = re.compile(r"\s*(\w+)\s*<=\s*([0-9]*\.?[0-9]+(?:e[+-]?\d+)?)\s*(%|[a-zµ]*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """An upper bound on one metric.

    Attributes:
        metric: ``latency``, ``macs``, ``params`` or ``size``.
        value: the bound: a share of the original in (0, 1] if ``relative``, else microseconds, MACs, parameters
            or bytes.
        relative: whether it is a share.
        text: as it was written.
    """

    metric: str
    value: float
    relative: bool
    text: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads a budget such as ``latency<=60%``, ``latency<=1.5ms``, ``macs<=50%`` or ``size<=300KB``.

        Raises:
            ConfigError: it is none, or makes no sense.
        """
        match = _PATTERN.fullmatch(text)
        if not match:
            raise ConfigError(
                f"budget '{text}' is not of the form latency<=60%, latency<=1.5ms, macs<=50%, size<=300KB"
            )
        metric, number, unit = match[1].lower(), float(match[2]), match[3].lower()
        if metric not in METRICS:
            raise ConfigError(f"budget '{text}': unknown metric '{match[1]}'{nearest(metric, METRICS)}")
        if not 0 < number < math.inf:
            raise ConfigError(f"budget '{text}': the bound must be above 0 and finite")
        if unit == "%":
            if number > 100:
                raise ConfigError(f"budget '{text}' allows more than the original needs; give at most 100%")
            return cls(metric, number / 100, True, text.strip())
        if unit not in _UNITS[metric]:
            known = ", ".join(name or "none" for name in _UNITS[metric])
            raise ConfigError(f"budget '{text}': unknown unit '{match[3]}' for {metric} (known: %, {known})")
        return cls(metric, _decimal(number * _UNITS[metric][unit]), False, text.strip())

    def limit(self, original: float) -> float:
        """Returns the bound in the metric's own unit, given what the original costs."""
        return _decimal(self.value * original) if self.relative else self.value

    def tightened(self, factor: float) -> Budget:
        """Returns the same budget with its bound multiplied by a factor below one."""
        return Budget(self.metric, self.value * factor, self.relative, self.text)


def format_value(metric: str, value: float) -> str:
    """Returns a cost with its unit, for people."""
    if metric == "latency":
        return f"{value / 1000:.3g} ms" if value >= 1000 else f"{value:.3g} us"
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= bound:
            return f"{value / bound:.3g} {unit}{'B' if metric == 'size' else ''}"
    return f"{value:.0f}{' B' if metric == 'size' else ''}"


def _decimal(value: float) -> float:
    """Undoes what binary fractions took away: 29% of 100 is 29, not 28.999999999999996."""
    return max(value, float(f"{value:.12g}"))


def _rounded_up(value: float) -> float:
    """Returns a value of three digits that is not smaller, so that it can be asked for as it is shown."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2) if value > 0 else 1.0
    return math.ceil(value / step) * step


def cheapest(model: CostModel, metric: str) -> np.ndarray:
    """Returns option numbers (A,) of a policy from which no single change lowers the metric any further.

    For all but latency that is the cheapest there is; latency can rise when a width falls, so ends are not enough.
    """
    best = np.zeros(len(model.space.axes), dtype=np.int64)
    price = model.prices(best[None])[metric][0]
    improved = True
    while improved:
        improved = False
        for axis, size in enumerate(model.space.sizes):
            candidates = np.repeat(best[None], size, axis=0)
            candidates[:, axis] = np.arange(size)
            prices = model.prices(candidates)[metric]
            if prices.min() < price:
                best, price, improved = candidates[prices.argmin()], prices.min(), True
    return model.space.canonical(best)


def check_reachable(model: CostModel, budgets: list[Budget]) -> None:
    """Refuses a budget that no policy keeps.

    Raises:
        BudgetError: with the smallest reachable value and what has most of it.
    """
    original = model.prices(model.space.full[None])
    for budget in budgets:
        full = original[budget.metric][0]
        index = cheapest(model, budget.metric)
        smallest = model.prices(index[None])[budget.metric][0]
        if smallest > budget.limit(full):
            share = math.ceil(1000 * smallest / full) / 10
            parts = list(model.breakdown(index, budget.metric).items())[:3]
            most = ", ".join(f"{name} {format_value(budget.metric, value)}" for name, value in parts)
            raise BudgetError(
                f"budget '{budget.text}' cannot be reached: the smallest {budget.metric} in this space is "
                f"{format_value(budget.metric, _rounded_up(smallest))} ({share:g}% of the original's "
                f"{format_value(budget.metric, full)}); most of it is left in {most}. Allow more, or widen the space "
                "(min_keep, channel_multiple, depth; 'automc inspect' lists what is frozen and why)"
            )
