"""The report's plots of one agent at work: what it learned, and what it chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from automc.campaigns.evaluated import Evaluated, Unit
from automc.campaigns.reports.plots import NEUTRAL, agent_colours, styled
from automc.campaigns.result import SearchResult
from automc.search_spaces.policy import FLOAT_BITS, Choice

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_SCALE = ((0, "#c23b55"), (0.5, "#e6c27a"), (1, "#2f7de1"))  # each far from what is blank, on light and dark pages
_LONGEST = 18  # characters of a unit's name beside a plot that has to fit a phone
_FLOAT = 9  # where float lies on a scale of bits
_WIDE_RANGE = 100.0  # from which largest over smallest value an axis is logarithmic
_NOTHING = Choice()


def rewards(result: SearchResult) -> Figure:
    """Returns the reward of each evaluation that the agent learned from, and the mean of the latest."""
    import plotly.graph_objects as go

    numbers = [lesson.number + 1 for lesson in result.lessons]
    values = np.array([lesson.reward for lesson in result.lessons])
    colour = _colour(result)
    figure = go.Figure()
    figure.add_scatter(
        x=numbers,
        y=values,
        mode="markers",
        marker={"color": colour, "size": 6, "opacity": 0.45},
        hovertemplate="evaluation %{x}<br>reward %{y:.4g}<extra></extra>",
    )
    figure.add_scatter(
        x=numbers,
        y=running_mean(values, window(result)),
        mode="lines",
        line={"color": colour, "width": 2.5},
        hoverinfo="skip",
    )
    styled(figure, "evaluations of the agent", "reward", 1, 300)
    return figure.update_xaxes(range=_range(result))


def window(result: SearchResult) -> int:
    """Returns how many of the latest rewards the line is the mean of: a tenth of them, 5 to 50."""
    return int(np.clip(len(result.lessons) // 10, 5, 50))


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Returns for each of (N,) values the mean of it and those before it, ``window`` at most."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def figures(result: SearchResult) -> dict[str, Figure]:
    """Returns a small plot for everything else that the agent tells about its learning, by its name."""
    import plotly.graph_objects as go

    plots: dict[str, Figure] = {}
    for name in sorted({name for lesson in result.lessons for name in lesson.figures}):
        told = [(lesson.number + 1, lesson.figures[name]) for lesson in result.lessons if name in lesson.figures]
        values = [value for _, value in told]
        figure = go.Figure()
        figure.add_scatter(
            x=[number for number, _ in told],
            y=values,
            mode="lines" if len(told) > 1 else "markers",
            line={"color": _colour(result), "width": 1.5},
            hovertemplate="evaluation %{x}<br>%{y:.4g}<extra></extra>",
        )
        styled(figure, "", "", 1, 170)
        if min(values) > 0 and max(values) > _WIDE_RANGE * min(values):
            figure.update_yaxes(type="log", dtick=1, tickformat="~g")
        plots[name.replace("_", " ")] = figure.update_xaxes(range=_range(result))
    return plots


def choices(result: SearchResult) -> dict[str, Figure]:
    """Returns heat maps of what the agent chose in each of its evaluations, by what they show.

    A column is an evaluation, a line a unit in the network's order. What lies in a dropped block is left blank.
    """
    done = _own(result)
    if len(done) < 2:
        return {}
    maps = {"channels and blocks kept": _heat(result, done, "kept")}
    weights, activations = _heat(result, done, "weight_bits"), _heat(result, done, "activation_bits")
    if weights is not None and activations is not None and np.array_equal(_bits(weights), _bits(activations), True):
        maps["bits"] = weights
    else:
        maps |= {"bits of weights": weights, "bits of activations": activations}
    return {title: figure for title, figure in maps.items() if figure is not None}


def _heat(result: SearchResult, done: Sequence[Evaluated], field: str) -> Figure | None:
    rows = {unit.name: [_value(unit, one, field) for one in done] for unit in result.units}
    rows = {name: values for name, values in rows.items() if any(value is not None for value in values)}
    if not rows:
        return None
    shown = np.array(list(rows.values()), dtype=np.float32)  # None is not a number
    scale: dict[str, object] = {"zmin": 0, "zmax": 1}
    ticks: dict[str, object] = {"tickvals": [0, 0.25, 0.5, 0.75, 1], "tickformat": ".0%"}
    told = "%{customdata:.0%} kept"
    colours = shown
    if field != "kept":
        colours = np.where(shown == FLOAT_BITS, _FLOAT, shown)
        levels = sorted(set(shown[np.isfinite(shown)].astype(int).tolist()))
        scale = {"zmin": min(_FLOAT - 1, levels[0]), "zmax": _FLOAT}
        ticks = {
            "tickvals": [min(level, _FLOAT) for level in levels],
            "ticktext": ["float" if level == FLOAT_BITS else str(level) for level in levels],
        }
        told = "%{customdata} bits"
    figure = heat_map(
        list(rows),
        [one.number + 1 for one in done],
        colours,
        ticks,
        customdata=shown,
        colorscale=_SCALE,
        **scale,
        hovertemplate=f"%{{y}}<br>evaluation %{{x}}: {told}<extra></extra>",
    )
    return figure.update_xaxes(title_text="evaluations of the agent")


def heat_map(units: Sequence[str], x: Sequence[Any], z: np.ndarray, ticks: Mapping[str, object], **more: Any) -> Figure:
    """Returns a heat map with a line for each unit, the first on top; what is not a number is left blank.

    Args:
        units: their names.
        x: what the columns stand for.
        z: (units, columns) values.
        ticks: of the colours' bar.
        **more: other arguments of plotly's heat map.
    """
    import plotly.graph_objects as go

    names = [escape(name) for name in units]
    figure = go.Figure()
    figure.add_heatmap(
        x=x,
        y=names,
        z=z,
        hoverongaps=False,
        **more,
        colorbar={
            "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "len": 1, "thickness": 9,
            "ypad": 4, "tickangle": 0, "outlinewidth": 0, "tickfont": {"size": 11, "color": NEUTRAL}, **ticks,
        },
    )  # fmt: skip
    line = 15 if len(names) <= 60 else 11
    styled(figure, "", "", 1, 100 + line * len(names))
    figure.update_xaxes(showgrid=False)
    labels = [escape(label) for label in short(units)]
    size = {"size": 11 if line == 15 else 9}
    return figure.update_yaxes(
        autorange="reversed", tickvals=list(range(len(names))), ticktext=labels, tickfont=size, showgrid=False
    )


def _value(unit: Unit, done: Evaluated, field: str) -> float | None:
    """Returns what was chosen for a unit: bits, the share that is kept, or None where nothing was."""
    choice = done.policy.get(unit.name, _NOTHING)
    if unit.block is not None and done.policy.get(unit.block, _NOTHING).keep is False:
        return None
    if field != "kept":
        return {"weight_bits": choice.weight_bits, "activation_bits": choice.activation_bits}[field]
    if unit.kind == "block":
        return None if choice.keep is None else float(choice.keep)
    return None if choice.channels is None else choice.channels / unit.full


def short(names: Sequence[str]) -> list[str]:
    """Returns names without what all begin with, up to a dot, and cut at their beginning where they are long.

    None begins with a number then.
    """
    parts, shared = [name.split(".") for name in names], 0
    while all(len(part) > shared + 1 for part in parts) and len({part[shared] for part in parts}) == 1:
        shared += 1
    while shared and any(part[shared].isdigit() for part in parts):
        shared -= 1
    rest = [".".join(part[shared:]) for part in parts]
    return [name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}" for name in rest]


def _range(result: SearchResult) -> list[float]:
    return [0.5, result.lessons[-1].number + 1.5]


def _own(result: SearchResult) -> list[Evaluated]:
    own = (done for done in result.evaluations if done.agent == result.agent and done.proposal)
    return sorted(own, key=lambda done: done.number)


def _bits(figure: Figure) -> np.ndarray:
    return np.asarray(figure.data[0].customdata)


def _colour(result: SearchResult) -> str:
    return agent_colours(result).get(result.agent, NEUTRAL)
