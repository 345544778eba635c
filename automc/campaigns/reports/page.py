"""The report of a search: one HTML page that needs nothing else, about 5 MB because it carries plotly.js."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from automc.campaigns.evaluated import Unit
from automc.campaigns.reports import hurting, learning, plots
from automc.campaigns.reports.front_table import front_lines
from automc.campaigns.reports.table import (
    comparison,
    prediction_error,
    remark,
    sentence,
    signed,
)
from automc.campaigns.result import Row, SearchResult
from automc.costs.units import format_cost
from automc.progress import duration
from automc.search_spaces import Choice
from automc.tasks.metrics import format_score

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Tile:
    """One of the figures at the top: what it is, its value, and what to hold it against."""

    title: str
    value: str
    note: str


@dataclass(frozen=True)
class Kept:
    """What a policy leaves of one unit.

    Attributes:
        state: ``kept``, ``dropped`` (a block), or ``gone`` with the block that it lies in.
        channels: channels left; 0 unless it is kept.
        share: these over the original's, in %.
        precision: of a layer that is kept, ``int8`` or ``float`` as a rule.
    """

    state: str
    channels: int
    share: float
    precision: str = ""

    def told(self, unit: Unit, name: str) -> str:
        """Returns it as a sentence, for those who point at it."""
        if self.state != "kept" or unit.kind == "block":
            return f"{name}: {self.state}"
        what = "channels" if unit.kind == "layer" else unit.kind
        return f"{name}: {self.channels} of {unit.full} {what}{f', {self.precision}' if self.precision else ''}"


@dataclass(frozen=True)
class UnitLine:
    """One line of the picture of the policy: a unit, and what best and the others leave of it."""

    unit: Unit
    best: Kept
    others: dict[str, Kept]


@dataclass(frozen=True)
class Prediction:
    """Predicted beside measured latency of one network; positions in % of the largest."""

    name: str
    measured: str
    predicted: str
    error: str
    at: float
    low: float
    high: float
    predicted_at: float


def render_html(result: SearchResult) -> str:
    """Returns the report of a search as one HTML page, which loads nothing from anywhere."""
    return render_page(
        "report.html.j2",
        result=result,
        budget=_budget(result),
        limits=[f"predicted {metric} at most {format_cost(metric, limit)}" for metric, limit in result.limits.items()],
        tiles=_tiles(result),
        columns=comparison(result),
        remarks={row.name: remark(result, row) for row in result.rows},
        tuned=[row.name for row in result.rows if row.tuned],
        front=plot_html(plots.front(result), "front", first=True),
        front_key=plots.front_key(result),
        front_kind=plots.front_kind(result),
        front_lines=front_lines(result),
        progress=plot_html(plots.progress(result), "progress"),
        progress_key=plots.progress_key(result),
        rewards=plot_html(learning.rewards(result), "rewards") if result.lessons else None,
        window=learning.window(result),
        figures=_plots(learning.figures(result), "figure"),
        choices=_plots(learning.choices(result), "choice"),
        hurting=plot_html(hurting.heat(result.sensitivities.found.axes, result.units), "hurting")
        if result.sensitivities
        else None,
        hurting_most=hurting.most(result.sensitivities.found.axes) if result.sensitivities else "",
        looked_at=hurting.looked_at(result.sensitivities.found, result.sensitivities.spent)
        if result.sensitivities
        else "",
        extras=sum(item.extra for item in result.scored),
        rung=result.compared[0].rung if result.compared else 0,
        failed=len(result.evaluations) - len(result.scored),
        units=unit_lines(result),
        bits=result.has_bits,
        others=result.controls,
        predictions=_predictions(result),
        duration=duration(result.seconds),
    )


def render_page(template: str, **values: Any) -> str:
    """Returns one of the package's pages, filled with these values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("automc.campaigns.reports", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["date"] = _date
    return environment.get_template(template).render(**values)


def unit_lines(result: SearchResult) -> list[UnitLine]:
    """Returns every unit in the network's order with what each policy leaves of it.

    Layers whose channels another unit decides about are among them only where precision was searched.
    """
    bits, lines = result.has_bits, []
    units = {unit.name: unit for unit in result.units}
    for unit in result.units:
        if unit.kind != "layer" or bits:
            decides = units[unit.group or unit.name]
            kept = {row.name: _kept(unit, decides, row, bits) for row in result.rows if row.policy is not None}
            lines.append(UnitLine(unit, kept.pop("best"), kept))
    return lines


def _kept(unit: Unit, decides: Unit, row: Row, bits: bool) -> Kept:
    """Returns what a policy leaves of a unit whose channels another, or itself, decides about."""
    policy = row.policy or {}
    if policy.get(unit.name, {}).get("keep") is False:
        return Kept("dropped", 0, 0.0)
    if unit.block is not None and policy.get(unit.block, {}).get("keep") is False:
        return Kept("gone", 0, 0.0)
    # a layer behind heads loses all channels of each
    channels = unit.full * policy.get(decides.name, {}).get("channels", decides.full) // decides.full
    precision = _precision(unit, row) if bits and unit.kind != "block" else ""
    return Kept("kept", channels, round(100 * channels / unit.full, 2), precision)


def _precision(unit: Unit, row: Row) -> str:
    """Returns in what a layer runs: by its file, or by its policy where nobody looked at that."""
    if row.int8 is not None:
        return "int8" if unit.name in row.int8.run else "float"
    return Choice(**(row.policy or {}).get(unit.name, {})).precision or "float"


def _tiles(result: SearchResult) -> list[Tile]:
    original, best = result.row("original"), result.row("best")
    others = ", ".join(
        f"{row.name} {format_score(row.final.test_score, result.metric)}" for row in result.rows if row is not best
    )
    if best.tuned:
        others = f"before fine-tuning {format_score(best.test_score, result.metric)}; {others}"
    latency, first = best.measured, original.measured
    weights = 100 * best.predicted.size / original.predicted.size
    return [
        Tile(f"Test {result.metric}", format_score(best.final.test_score, result.metric), others),
        Tile(
            sentence(best.latency_is),
            f"{100 * latency.ratio:.1f}%",
            f"of the original: {format_cost('latency', latency.us)} instead of {format_cost('latency', first.us)}",
        ),
        Tile(
            "Size of weights",
            f"{weights:.1f}%",
            f"of the original: {format_cost('size', best.predicted.size)} instead of "
            f"{format_cost('size', original.predicted.size)}",
        ),
        Tile(
            "Budget",
            "kept" if best.keeps_budget else "not kept",
            _budget(result) + ("" if "latency" not in result.limits or best.model else ", latency as measured"),
        ),
    ]


def _budget(result: SearchResult) -> str:
    return " and ".join(" ≤ ".join(part.strip() for part in text.split("<=")) for text in result.budgets)


def _predictions(result: SearchResult) -> list[Prediction]:
    rows = [row for row in result.rows if row.predicted.latency is not None and not row.model]
    widest = max((max(row.measured.high, row.predicted.latency or 0.0) for row in rows), default=1.0)
    return [_prediction(row, widest) for row in rows]


def _prediction(row: Row, widest: float) -> Prediction:
    time, predicted = row.measured, row.predicted.latency or 0.0
    at, low, high, predicted_at = (
        round(100 * value / widest, 2) for value in (time.us, time.low, time.high, predicted)
    )
    return Prediction(
        name=row.name,
        measured=format_cost("latency", time.us),
        predicted=format_cost("latency", predicted),
        error=f"{signed(100 * (prediction_error(row) or 0.0))}%",
        at=at,
        low=low,
        high=high,
        predicted_at=predicted_at,
    )


def plot_html(figure: Figure, name: str, first: bool = False) -> Any:
    """Returns a plot as part of a page; the page's first brings plotly.js along."""
    from markupsafe import Markup

    # the data of a search are its owner's: plotly's button that uploads a plot is left out
    config = {"showSendToCloud": False, "plotlyServerURL": "", "displaylogo": False, "responsive": True}
    buttons = [["toImage", "zoom2d", "pan2d", "resetScale2d"]]
    text = figure.to_html(
        full_html=False,
        include_plotlyjs=first,
        div_id=f"plot-{name}",
        default_height=figure.layout.height,
        config={**config, "modeBarButtons": buttons},
    )
    return Markup(text)  # plotly writes "<" of its data as an escape, and the plots escape names themselves


def _plots(figures: dict[str, Figure], name: str) -> dict[str, Any]:
    return {title: plot_html(figure, f"{name}{place}") for place, (title, figure) in enumerate(figures.items())}


def _date(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%d %H:%M} UTC"
