"""Which layers hurt: the units of a network ranked by the harm of a middling choice, beside what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from automc.campaigns.evaluated import Unit
from automc.campaigns.setup import Subject
from automc.costs import CostModel
from automc.search_spaces import Axis, Choice
from automc.search_spaces.policy import INT8_BITS
from automc.sensitivities import AxisHarms


@dataclass(frozen=True)
class Hurt:
    """What one axis does at a middling option, all else staying as it is.

    Attributes:
        axis: its harms.
        option: number of the middling option: half the width, a dropped block, int8.
        macs_share: share of all MACs in what changes: for bits the layer, else the modules that the unit touches.
        metric: what is saved: ``latency`` where it is known, else ``macs``, for bits ``size``.
        saved: the share of the network's cost that the middling option saves; below 0 where it costs more.
    """

    axis: AxisHarms
    option: int
    macs_share: float
    metric: str
    saved: float

    @property
    def harm(self) -> float:
        """The harm of the middling option."""
        return self.axis.harms[self.option]

    @property
    def per_percent(self) -> float | None:
        """The harm for each percent of the network's cost that is saved; None where nothing is."""
        return self.harm / (100 * self.saved) if self.saved > 0 else None

    def plain(self) -> dict[str, Any]:
        """Returns all of it as plain data."""
        return {
            **self.axis.model_dump(mode="json"),
            "middling": {"option": self.axis.model_dump(mode="json")["options"][self.option], "harm": self.harm},
            "macs_share": round(self.macs_share, 4),
            "saved": {"metric": self.metric, "share": round(self.saved, 5)},
            "harm_per_percent": self.per_percent,
        }


def hurting(subject: Subject, costs: CostModel, axes: Sequence[AxisHarms]) -> list[Hurt]:
    """Returns the axes of a space, which harms most at its middling option first.

    Args:
        subject: the network.
        costs: prices policies of the space.
        axes: the harms of the space's axes, in its order.
    """
    space, shares = costs.space, macs_touched(subject, costs)
    layers = _by_layer(costs)
    options = [middling(axis) for axis in space.axes]
    indices = np.repeat(space.full[None], 1 + len(options), axis=0)
    indices[np.arange(len(options)) + 1, np.arange(len(options))] = options
    prices = costs.prices(indices, [metric for metric in ("macs", "size", "latency") if metric in costs.metrics])
    found = []
    for number, (axis, option) in enumerate(zip(space.axes, options, strict=True)):
        metric = "latency" if "latency" in prices else "size" if axis.field == "bits" else "macs"
        saved = 1 - prices[metric][number + 1] / prices[metric][0]
        share = layers.get(axis.unit, 0.0) if axis.field == "bits" else shares[axis.unit]
        found.append(Hurt(axes[number], option, share, metric, float(saved)))
    return sorted(found, key=lambda one: -one.harm)


def middling(axis: Axis | AxisHarms) -> int:
    """Returns the number of an option that is neither the least nor the most: half the width, dropped, int8."""
    if axis.field == "channels":
        widths: Any = axis.options  # numbers, since they are of channels
        return int(np.argmin([abs(width - widths[-1] / 2) for width in widths]))
    if INT8_BITS in axis.options[:-1]:
        return axis.options.index(INT8_BITS)
    return (len(axis.options) - 1) // 2


def say_option(axis: AxisHarms, option: int) -> str:
    """Returns an option in a few words."""
    value: Any = axis.options[option]
    if axis.field == "keep":
        return "kept" if value else "dropped"
    if axis.field == "bits":
        return Choice(weight_bits=value[0], activation_bits=value[1]).precision or ""
    return f"{value} of {axis.options[-1]}"


def macs_touched(subject: Subject, costs: CostModel) -> dict[str, float]:
    """Returns, for each unit, the share of all MACs in the modules that it touches."""
    layers, shares = _by_layer(costs), {}
    for unit in subject.units():
        modules = touched_modules(subject, unit)
        shares[unit.name] = sum(n for name, n in layers.items() if any(_within(name, module) for module in modules))
    return shares


def _by_layer(costs: CostModel) -> dict[str, float]:
    macs = costs.breakdown(costs.space.full, "macs")
    total = max(sum(macs.values()), 1.0)
    return {name: value / total for name, value in macs.items()}


def touched_modules(subject: Subject, unit: Unit) -> list[str]:
    """Returns the modules that change with a unit: a group's members, a block, a layer."""
    if unit.kind in {"block", "layer"}:
        return [unit.name]
    return sorted({m.module for group in subject.graph.groups if group.name == unit.name for m in group.members})


def _within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")
