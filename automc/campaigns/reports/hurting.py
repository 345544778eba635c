"""Which layers hurt, as words and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from automc.campaigns.evaluated import Unit
from automc.campaigns.hurting import Hurt, middling, say_option
from automc.campaigns.reports.learning import heat_map
from automc.progress import duration
from automc.search_spaces import Choice
from automc.sensitivities import AxisHarms, SensitivityFile, Stored

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_SCALE = ((0, "#2f7de1"), (0.5, "#e6c27a"), (1, "#c23b55"))
_SHARES = {0.125: "⅛", 0.25: "¼", 0.375: "⅜", 0.5: "½", 0.625: "⅝", 0.75: "¾", 0.875: "⅞"}
_NEAR = 1 / 16  # a width is shown at the share that it is nearest to
_DECADES = (-5, 0)  # of harm that colours tell apart, at most
_SAVES = {"macs": "MACs", "size": "bytes", "latency": "latency"}


def title(name: str, stored: Stored) -> str:
    """Returns a table's title."""
    return f"{name}: which layers hurt? {looked_at(stored.found, stored.spent)}"


def looked_at(found: SensitivityFile, spent: float) -> str:
    """Says how much was looked at, and how long it took."""
    effort = found.about.effort
    took = f"measured in {duration(spent)}" if spent else f"there already, measured in {duration(found.seconds)}"
    images = f"{effort.search_images} search and {effort.calibration_images} calibration images"
    return f"{len(found.axes)} choices on {images}, points measured of each curve: {effort.options}; {took}"


def legend() -> str:
    """Says what a table's figures are."""
    return (
        "harm: squared change of the outputs as a share of their variance where this unit alone takes the choice, "
        "after recovery; ~: estimated between what was measured; MACs: share in what changes with the choice; "
        "per 1%: harm for each percent of the network's cost that is saved"
    )


def say_harm(harm: float, measured: bool = True) -> str:
    """Returns a harm with two digits, marked where it was not measured."""
    return f"{'' if measured else '~'}{harm:.2g}"


def say_saved(one: Hurt) -> str:
    """Returns what a choice saves, and of what."""
    return f"{100 * one.saved:.2g}% of {_SAVES[one.metric]}"


def most(axes: Sequence[AxisHarms], number: int = 3) -> str:
    """Returns which units hurt most at a middling choice, as a sentence."""
    ranked = sorted(axes, key=lambda axis: -axis.harms[middling(axis)])[:number]
    return f"Most harm at a middling choice: {', '.join(map(_said, ranked))}."


def heat(axes: Sequence[AxisHarms], units: Sequence[Unit]) -> Figure:
    """Returns a heat map of harm, on a scale of logarithms: a line for each unit, a column for each choice.

    Args:
        axes: the harms.
        units: the network's, whose order the lines have.
    """
    order = {name: place for place, name in enumerate(dict.fromkeys([u.name for u in units] + [a.unit for a in axes]))}
    names = sorted({axis.unit for axis in axes}, key=order.__getitem__)
    cells = [cell for axis in axes for cell in _cells(axis)]
    columns = [column for _, column in sorted({(cell[1], cell[2]) for cell in cells})]
    z = np.full((len(names), len(columns)), np.nan)
    told = np.full(z.shape, "", dtype=object)
    for axis, _, column, option in cells:
        place = names.index(axis.unit), columns.index(column)
        z[place] = axis.harms[option]
        measured = "measured" if axis.measured[option] else "estimated"
        told[place] = f"{escape(axis.unit)}: {_option(axis, option)}<br>harm {axis.harms[option]:.3g}, {measured}"
    positive = z[np.isfinite(z) & (z > 0)]
    low, high = (
        (float(np.clip(np.log10(end), *_DECADES)) for end in (positive.min(), positive.max()))
        if len(positive)
        else (-1.0, 0.0)
    )
    low = min(np.floor(low), high - 1)
    powers = range(int(np.ceil(low)), int(np.floor(high)) + 1)
    ticks = {"tickvals": list(powers), "ticktext": [f"{10.0**power:g}" for power in powers]}
    figure = heat_map(
        names,
        columns,
        np.log10(np.maximum(z, 10**low)),
        ticks,
        text=told,
        colorscale=_SCALE,
        zmin=low,
        zmax=high,
        xgap=1,
        ygap=1,
        hovertemplate="%{text}<extra></extra>",
    )
    return figure.update_xaxes(type="category", tickvals=list(range(len(columns))), ticktext=columns)


def _cells(axis: AxisHarms) -> list[tuple[AxisHarms, tuple[Any, ...], str, int]]:
    """Returns an axis's cells: itself, what orders the columns, the column, and the option that it shows."""
    if axis.field == "keep":
        return [(axis, (0,), "dropped", 0)]
    if axis.field == "bits":
        bits: Any = axis.options[:-1]
        names = [Choice(weight_bits=pair[0], activation_bits=pair[1]).precision or "" for pair in bits]
        return [
            (axis, (1, sum(pair), *pair), name, number)
            for number, (pair, name) in enumerate(zip(bits, names, strict=True))
            if axis.measured[number]
        ]
    widths: Any = axis.options[:-1]
    shares = np.array([width / axis.options[-1] for width in widths])  # type: ignore[operator]  # widths are numbers
    nearest = {share: int(np.argmin(np.abs(shares - share))) for share in _SHARES} if len(shares) else {}
    return [
        (axis, (2, share), _SHARES[share], number)
        for share, number in nearest.items()
        if abs(shares[number] - share) <= _NEAR
    ]


def _option(axis: AxisHarms, option: int) -> str:
    return say_option(axis, option) + (" channels" if axis.field == "channels" else "")


def _said(axis: AxisHarms) -> str:
    option = middling(axis)
    return f"{axis.unit} ({_option(axis, option)}: {say_harm(axis.harms[option], axis.measured[option])})"
