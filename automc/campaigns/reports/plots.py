"""The report's plots. Their backgrounds are transparent; the page's style sheet colours text and grid lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate, cycle
from typing import TYPE_CHECKING, Any

from automc.campaigns.evaluated import Evaluated, Unit
from automc.campaigns.front import Front
from automc.campaigns.result import Row, SearchResult
from automc.costs import Cost
from automc.costs.units import format_cost, number, scale
from automc.search_spaces import Choice
from automc.tasks.metrics import format_epochs, format_score, in_percent

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_COLOURS = ("#2f7de1", "#d9622b", "#8a56d6", "#1f9d8a", "#c2488f")
_MUTED = ("#8792a2", "#b59a6d", "#7fa08a", "#a58aa3", "#9c8f86")
NEUTRAL, _LIMIT = "#808b99", "#d6455d"
_BEST, _ORIGINAL = ("star", "★", "☆"), ("circle", "●", "○")
_CONTROLS = (
    ("square", "■", "□"),
    ("triangle-up", "▲", "△"),
    ("triangle-down", "▼", "▽"),
    ("pentagon", "⬟", "⬠"),
    ("hexagon", "⬢", "⬡"),
)
"""Each control's symbol: its name in plotly, and as text, filled and open (after fine-tuning)."""


@dataclass(frozen=True)
class Key:
    """One entry of a plot's key: a glyph in its colour, and what it stands for."""

    glyph: str
    colour: str
    label: str


def front(result: SearchResult) -> Figure:
    """Returns score against predicted latency (MACs without a latency table) of evaluations, and their front."""
    import plotly.graph_objects as go

    kind = front_kind(result)
    compressed = [row for row in result.rows if row.name != "original"]
    values = [_cost(item.predicted, kind) for item in result.compared]
    values += [row.measured.us if kind == "latency" else row.predicted.macs for row in compressed]
    limit = result.limits.get(kind)
    shown = values if limit is None else [*values, limit]
    factor, unit = scale(kind, max(shown))
    percent = 100 if in_percent(result.metric) else 1
    figure = go.Figure()
    for agent, colour in agent_colours(result).items():
        items = [item for item in result.compared if item.agent == agent]
        figure.add_scatter(
            x=[_cost(item.predicted, kind) / factor for item in items],
            y=[percent * item.value for item in items],
            name=escape(agent),
            mode="markers",
            marker={"color": colour, "size": 8, "opacity": 0.8, "symbol": [_symbol(item) for item in items]},
            text=[_hover(result, item) for item in items],
            hovertemplate="%{text}<extra></extra>",
        )
    best = pareto(result, kind)
    figure.add_scatter(
        x=[_cost(item.predicted, kind) / factor for item in best],
        y=[percent * item.value for item in best],
        name="front",
        mode="lines",
        line={"color": NEUTRAL, "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
    )
    colours, symbols = _row_colours(result), _symbols(result)
    for row in result.rows:
        time = row.measured
        at, word = (
            (time.us, "by the model" if row.model else "measured")
            if kind == "latency"
            else (row.predicted.macs, "as built")
        )
        spread = {"array": [(time.high - time.us) / factor], "arrayminus": [(time.us - time.low) / factor]}
        figure.add_scatter(
            x=[at / factor],
            y=[percent * row.search_score],
            name=f"{escape(row.name)}, {word}",
            mode="markers",
            marker={
                "symbol": symbols[row.name][0],
                "size": 18 if row.name == "best" else 13,
                "color": colours[row.name],
                "line": {"color": NEUTRAL, "width": 1.5},
            },
            error_x={"symmetric": False, "thickness": 1.5, "width": 4, **spread} if kind == "latency" else None,
            hovertemplate=f"<b>{escape(row.name)}</b>, {word}<br>{format_cost(kind, at)}<br>search "
            f"{format_score(row.search_score, result.metric)}{_in_int8(row)}<extra></extra>",
        )
        if row.tuned:
            score = format_score(row.tuned.search_score, result.metric)
            figure.add_scatter(
                x=[at / factor],
                y=[percent * row.tuned.search_score],
                name=f"{escape(row.name)}, fine-tuned",
                mode="markers",
                marker={
                    "symbol": f"{symbols[row.name][0]}-open",
                    "size": 18 if row.name == "best" else 13,
                    "color": colours[row.name],
                    "line": {"width": 2},
                },
                hovertemplate=f"<b>{escape(row.name)}</b>, fine-tuned, {format_epochs(row.tuned.epochs)}<br>"
                f"{format_cost(kind, at)}<br>search {score}<extra></extra>",
            )
    original = result.row("original").search_score
    label = f"original {format_score(original, result.metric)}"
    line = {"color": NEUTRAL, "dash": "dot", "width": 1.5}
    figure.add_hline(y=percent * original, line=line, annotation_text=label, annotation_position="top left")
    if limit is not None:
        label, line = f"budget {format_cost(kind, limit)}", {"color": _LIMIT, "dash": "dash", "width": 1.5}
        figure.add_vline(x=limit / factor, line=line, annotation_text=label, annotation_position="bottom left")
    # the original lies far to the right: it is a line, and a marker for those who zoom out
    low, high = min(shown) / factor, max(shown) / factor
    margin = 0.06 * (high - low) or 0.05 * high
    title = f"predicted {'latency' if kind == 'latency' else 'MACs'}{f', {unit}' if unit else ''}"
    styled(figure, title, f"search {result.metric}", percent, 460)
    return figure.update_xaxes(range=[low - margin, high + margin])


def progress(result: SearchResult) -> Figure:
    """Returns each agent's best score so far over what it proposed."""
    import plotly.graph_objects as go

    percent = 100 if in_percent(result.metric) else 1
    better, over = max if result.higher_is_better else min, Front(limits=result.limits).over
    runs: dict[str, list[Evaluated]] = {agent: [] for agent in agent_colours(result)}
    for item in result.scored:
        if item.proposal:
            runs[item.agent].append(item)
    longest = max((item.number + 1 for item in result.evaluations if item.proposal), default=0)
    figure = go.Figure()
    for agent, colour in agent_colours(result).items():
        scores = [percent * item.value for item in runs[agent]]
        numbers = [item.number + 1 for item in runs[agent]]  # with gaps where evaluations failed
        # what an agent from above tried on its way is shown, but is no result; controls are meant as they are
        kept = [item for item in runs[agent] if agent in result.controls or not over(item.predicted)]
        so_far = list(accumulate((percent * item.value for item in kept), better))
        figure.add_scatter(
            x=numbers,
            y=scores,
            mode="markers",
            marker={"color": colour, "size": 6, "opacity": 0.5},
            text=[_hover(result, item) for item in runs[agent]],
            hovertemplate="%{text}<extra></extra>",
        )
        figure.add_scatter(
            x=[
                *(item.number + 1 for item in kept),
                *[longest] * bool(kept),
            ],  # what stopped early is drawn on to the end
            y=[*so_far, *so_far[-1:]],
            name=escape(agent),
            mode="lines",
            line={"color": colour, "width": 2.5, "shape": "hv", "dash": "dash" if len(scores) == 1 else "solid"},
            hoverinfo="skip",
        )
    styled(figure, "evaluations of the agent", f"best search {result.metric} so far", percent, 340)
    return figure.update_xaxes(range=[0.5, longest + 0.5])


def front_key(result: SearchResult) -> list[Key]:
    """Returns what the front's markers and lines stand for."""
    measured = "by the model" if result.rows[0].model else "measured"
    word = measured if front_kind(result) == "latency" else "as built"
    colours, symbols = _row_colours(result), _symbols(result)
    keys = [Key("●", colour, agent) for agent, colour in agent_colours(result).items()]
    keys.append(Key("━", NEUTRAL, "front"))
    for row in result.rows[1:]:
        over = "" if row.keeps_budget else ", over the budget"
        keys.append(Key(symbols[row.name][1], colours[row.name], f"{row.name}, {word}{over}"))
        if row.tuned:
            keys.append(Key(symbols[row.name][2], colours[row.name], f"{row.name}, fine-tuned"))
    return keys


def progress_key(result: SearchResult) -> list[Key]:
    """Returns what the lines of the progress stand for."""
    return [Key("━", colour, agent) for agent, colour in agent_colours(result).items()]


def front_kind(result: SearchResult) -> str:
    """Returns what the front is drawn over: ``latency``, or ``macs`` when some evaluation has no latency."""
    return "latency" if all(item.predicted.latency is not None for item in result.scored) else "macs"


def pareto(result: SearchResult, kind: str) -> list[Evaluated]:
    """Returns the evaluations that none beats in both cost and score, cheapest first."""
    sign = 1 if result.higher_is_better else -1
    found: list[Evaluated] = []
    for item in sorted(result.compared, key=lambda item: (_cost(item.predicted, kind), -sign * item.value)):
        if not found or sign * item.value > sign * found[-1].value:
            found.append(item)
    return found


def agent_colours(result: SearchResult) -> dict[str, str]:
    """Returns a colour for each agent that has a score: controls muted, the others in order."""
    agents = sorted({item.agent for item in result.scored}, key=lambda name: (name in result.controls, name))
    controls = dict(zip(result.controls, cycle(_MUTED), strict=False))
    return {name: controls.get(name, _COLOURS[place % len(_COLOURS)]) for place, name in enumerate(agents)}


def summary(units: Sequence[Unit], policy: dict[str, dict[str, Any]]) -> list[str]:
    """Returns what a policy does, in a few short lines: blocks dropped, channels kept, deepest cuts, int8."""
    dropped = [unit for unit, choice in policy.items() if choice.get("keep") is False]
    shares: dict[str, tuple[int, int]] = {}
    for unit in units:
        kept = policy.get(unit.name, {}).get("channels")
        if kept is not None and unit.block not in dropped:
            shares[unit.name] = (kept, unit.full)
    lines = [f"drops {', '.join(dropped)}"] if dropped else []
    if shares:
        mean = sum(kept / full for kept, full in shares.values()) / len(shares)
        lines.append(f"keeps {100 * mean:.0f}% of a layer's channels on average")
        deepest = sorted(shares.items(), key=lambda item: item[1][0] / item[1][1])[:3]
        lines += [f"{name} {kept} of {full}" for name, (kept, full) in deepest if kept < full]
    layers = [unit.name for unit in units if unit.int8 and unit.block not in dropped]
    int8 = sum(Choice(**policy.get(name, {})).precision == "int8" for name in layers)
    if any("weight_bits" in choice for choice in policy.values()):
        lines.append(f"{int8} of {len(layers)} layers in int8")
    return lines or ["as the original"]


def _hover(result: SearchResult, item: Evaluated) -> str:
    lines = [f"<b>{escape(item.agent)}</b>, number {item.number}"]
    lines.append(f"search {format_score(item.value, result.metric)}")
    if item.predicted.latency is not None:
        lines.append(f"predicted {format_cost('latency', item.predicted.latency)}")
    lines.append(f"{format_cost('macs', item.predicted.macs)} MACs, {number(item.seconds)} s")
    if item.extra:
        lines.append("added after the search, on a tighter budget")
    return "<br>".join([*lines, *map(escape, summary(result.units, item.policy.to_dict()))])


def _in_int8(row: Row) -> str:
    return f"<br>{len(row.int8.run)} of {row.int8.layers} layers run in int8" if row.int8 and row.int8.asked else ""


def _cost(costs: Cost, kind: str) -> float:
    return costs.macs if kind == "macs" else costs.latency or 0.0


def _symbol(item: Evaluated) -> str:
    return "diamond" if item.extra else "circle"


def _symbols(result: SearchResult) -> dict[str, tuple[str, str, str]]:
    controls = dict(zip(result.controls, cycle(_CONTROLS), strict=False))
    return {"original": _ORIGINAL, **controls, "best": _BEST}


def _row_colours(result: SearchResult) -> dict[str, str]:
    colours = {"original": NEUTRAL, **agent_colours(result)}
    return {row.name: colours.get(row.agent or "original", NEUTRAL) for row in result.rows}


def styled(figure: Figure, x: str, y: str, percent: int, height: int) -> Figure:
    """Gives a figure the look of all, titles to its axes, and ticks in % where ``percent`` is 100."""
    axis = {"gridcolor": "rgba(128,139,153,0.22)", "zeroline": False, "automargin": True}
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 10, "r": 36, "t": 12, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": NEUTRAL},
        showlegend=False,  # the page has its own, which also fits a phone
        hoverlabel={"align": "left"},
        modebar={"orientation": "v", "bgcolor": "rgba(0,0,0,0)", "color": NEUTRAL, "activecolor": _COLOURS[0]},
        dragmode=False,
    )
    figure.update_xaxes(**axis, title={"text": x, "standoff": 8})
    return figure.update_yaxes(**axis, title={"text": y, "standoff": 8}, ticksuffix="%" if percent == 100 else "")
