"""Budgets: what they say and what they allow."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from automc.costs.cost import METRICS
from automc.costs.units import UNITS
from automc.errors import ConfigError, nearest

_PATTERN = re.compile(r"\s*(\w+)\s*<=\s*([0-9]*\.?[0-9]+(?:e[+-]?\d+)?)\s*(%|[a-zµ]*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """An upper bound on one metric.

    Attributes:
        metric: ``latency``, ``macs``, ``params``, ``size``, ``memory`` or ``energy``.
        value: the bound: a share of the original in (0, 1] if ``relative``, else microseconds, MACs, parameters,
            bytes or microjoules.
        relative: whether it is a share.
        text: as it was written.
    """

    metric: str
    value: float
    relative: bool
    text: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads a budget such as ``latency<=60%``, ``latency<=1.5ms``, ``macs<=50%``, ``size<=300KB``, ``energy<=2mJ``.

        Raises:
            ConfigError: it is none, or makes no sense.
        """
        match = _PATTERN.fullmatch(text)
        if not match:
            raise ConfigError(
                f"budget '{text}' is not of the form latency<=60%, latency<=1.5ms, macs<=50%, size<=300KB, memory<=60%"
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
        if unit not in UNITS[metric]:
            known = ", ".join(name or "none" for name in UNITS[metric])
            raise ConfigError(f"budget '{text}': unknown unit '{match[3]}' for {metric} (known: %, {known})")
        return cls(metric, _decimal(number * UNITS[metric][unit]), False, text.strip())

    def limit(self, original: float) -> float:
        """Returns the bound in the metric's own unit, given what the original costs."""
        return _decimal(self.value * original) if self.relative else self.value

    def tightened(self, factor: float) -> Budget:
        """Returns the same budget with its bound multiplied by a factor below one."""
        return Budget(self.metric, self.value * factor, self.relative, self.text)


def _decimal(value: float) -> float:
    """Undoes what binary fractions took away: 29% of 100 is 29, not 28.999999999999996."""
    return max(value, float(f"{value:.12g}"))
