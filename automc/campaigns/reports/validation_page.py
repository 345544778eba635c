"""A validation as one HTML page in the report's style: predicted against measured latency, network by network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automc.campaigns.evaluated import Unit
from automc.campaigns.reports.page import Tile, plot_html, render_page
from automc.campaigns.reports.plots import NEUTRAL, Key, styled, summary
from automc.campaigns.reports.table import signed
from automc.campaigns.validation import Point
from automc.costs.units import format_cost, scale
from automc.latency_tables import LatencyTable, Validation
from automc.latency_tables.validation import sentence

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_FLOAT, _HALF, _FEWER = "#2f7de1", "#a155b9", "#e0752b"
_BAND = 0.1
# What predictors of whole networks from their kernels reach on processors: 2.8 to 5.5% (nn-Meter, Zhang et al., 2021)
_GOOD = 0.055
_TICKS = (1, 2, 3, 5, 7)


def render_validation(
    validation: Validation, points: Sequence[Point], units: Sequence[Unit], table: LatencyTable, path: Path
) -> str:
    """Returns a page that loads nothing from anywhere.

    Args:
        validation: the figures.
        points: the original's, and one for each policy.
        units: the network's, for what a policy does in short.
        table: what was validated.
        path: where it lies.
    """
    return render_page(
        "validation.html.j2",
        validation=validation,
        said=sentence(str(validation))
        + (f" {validation.passed_by} more could not be exported." if validation.passed_by else ""),
        good=validation.rmspe <= _GOOD,
        tiles=_tiles(validation),
        key=_key(points),
        predicted=plot_html(predicted_figure(points, units), "predicted", first=True),
        errors=plot_html(error_figure(points, units), "errors"),
        original=points[0],
        original_error=f"{signed(100 * points[0].error)}%",
        original_us=[format_cost("latency", us) for us in (points[0].predicted, points[0].measured.us)],
        runs=points[0].measured.runs,
        table=table,
        path=path,
    )


def predicted_figure(points: Sequence[Point], units: Sequence[Unit]) -> Figure:
    """Returns predicted over measured latency, both on scales of logarithms, with a band of ±10%."""
    measured, factor, unit = _measured(points)
    predicted = [point.predicted / factor for point in points]
    ends = _ends([*measured, *predicted])
    figure = _figure(list(ends), [[(1 + sign * _BAND) * end for end in ends] for sign in (-1, 1)], list(ends))
    _markers(figure, points, units, measured, predicted)
    styled(figure, f"measured latency, {unit}", f"predicted latency, {unit}", 1, 560)
    axis = {"type": "log", "range": np.log10(ends).tolist(), "tickvals": (ticks := _ticks(*ends))}
    axis["ticktext"] = [f"{tick:g}" for tick in ticks]
    return figure.update_xaxes(**axis).update_yaxes(**axis)


def error_figure(points: Sequence[Point], units: Sequence[Unit]) -> Figure:
    """Returns the relative error over measured latency, with a band of ±10%."""
    measured, _, unit = _measured(points)
    ends = _ends(measured)
    figure = _figure(list(ends), [[-100 * _BAND] * 2, [100 * _BAND] * 2], [0.0, 0.0])
    errors = [100 * point.error for point in points]
    _markers(figure, points, units, measured, errors)
    styled(figure, f"measured latency, {unit}", "predicted over measured, minus one", 100, 340)
    ticks, most = _ticks(*ends), 1.15 * max(100 * _BAND, *map(abs, errors))
    figure.update_xaxes(
        type="log", range=np.log10(ends).tolist(), tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks]
    )
    return figure.update_yaxes(range=[-most, most])


def _figure(x: list[float], band: Sequence[list[float]], line: list[float]) -> Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    low, high = band
    figure.add_scatter(
        x=[*x, *x[::-1]],
        y=[*low, *high[::-1]],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor="rgba(128,139,153,0.16)",
        hoverinfo="skip",
    )
    figure.add_scatter(x=x, y=line, mode="lines", line={"color": NEUTRAL, "width": 1.5}, hoverinfo="skip")
    return figure


def _markers(
    figure: Figure, points: Sequence[Point], units: Sequence[Unit], x: Sequence[float], y: Sequence[float]
) -> None:
    hover = [_hover(point, units) for point in points]
    shown: dict[str, Any] = {"mode": "markers", "hovertemplate": "%{text}<extra></extra>"}
    colour = {
        "color": [100 * point.fewer_bits for point in points[1:]],
        "cmin": 0,
        "cmax": 100,
        "colorscale": [[0, _FLOAT], [0.5, _HALF], [1, _FEWER]],
        "size": 9,
        "opacity": 0.85,
    }
    figure.add_scatter(x=x[1:], y=y[1:], text=hover[1:], marker=colour, **shown)
    original = {"symbol": "diamond", "color": NEUTRAL, "size": 13}
    figure.add_scatter(x=x[:1], y=y[:1], text=[f"<b>original</b><br>{hover[0]}"], marker=original, **shown)


def _hover(point: Point, units: Sequence[Unit]) -> str:
    time = point.measured
    spread = f"{format_cost('latency', time.low)} to {format_cost('latency', time.high)}"
    lines = [
        f"predicted {format_cost('latency', point.predicted)}, {signed(100 * point.error)}%",
        f"measured {format_cost('latency', time.us)} ({spread})",
    ]
    return "<br>".join([*lines, *map(escape, summary(units, point.policy.to_dict()))])


def _measured(points: Sequence[Point]) -> tuple[list[float], float, str]:
    factor, unit = scale("latency", max(point.measured.us for point in points))
    return [point.measured.us / factor for point in points], factor, unit


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / 1.15, max(values) * 1.15


def _ticks(low: float, high: float) -> list[float]:
    """Returns round numbers between the ends of a logarithmic axis, seldom more than eight."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = _TICKS if high < 12 * low else _TICKS[:2] + _TICKS[3:4] if high < 400 * low else _TICKS[:1]
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def _key(points: Sequence[Point]) -> list[Key]:
    keys = [Key("●", _FLOAT, "all layers in float")]
    if any(point.fewer_bits for point in points):
        keys += [Key("●", _HALF, "half of them in fewer bits"), Key("●", _FEWER, "all of them")]
    return [*keys, Key("◆", NEUTRAL, "original"), Key("▬", NEUTRAL, "±10%")]


def _tiles(found: Validation) -> list[Tile]:
    return [
        Tile("RMSPE", f"{100 * found.rmspe:.1f}%", f"the measurement repeats to {100 * found.repeatability:.1f}%"),
        Tile("Within ±10%", f"{100 * found.within10:.0f}%", f"within ±5%: {100 * found.within5:.0f}%"),
        Tile("Median error", f"{100 * found.median:.1f}%", f"bias {signed(100 * found.bias)}%"),
        Tile("Rank correlation", f"{found.spearman:.3f}", "Spearman’s, of predicted and measured"),
    ]
