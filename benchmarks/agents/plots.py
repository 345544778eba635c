"""Plots of the best score so far, on one page that needs no network."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from problems import find_case
from recording import Seeds, by_agent, recorded, scored
from records import Row

from automc.agents import CONTROLS, agent_class
from automc.campaigns.reports.page import plot_html
from automc.campaigns.reports.plots import styled

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLOURS = "#2f7de1 #d9622b #8a56d6 #1f9d8a #c2488f #b8860b #5b6ee1 #3c8d2f #a0522d #00838f #d6455d".split()
MUTED = "#8792a2 #b59a6d #7fa08a #a58aa3 #9c8f86".split()
DASHES = ("solid", "dot", "dash", "dashdot")
AXES = {"evaluations": "evaluations, sensitivities as many as take as long", "seconds": "seconds of one core"}
SHOWN_FROM = 0.1  # of the longest curve: what is worse before that would leave no room for the rest
STYLE = """
body { font: 15px system-ui, sans-serif; margin: 2em auto; max-width: 1240px; padding: 0 1em; color: #222;
  background: #fff }
h2 { font-size: 1.1em; margin: 1.6em 0 .3em }
.two { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(460px, 100%), 1fr)); gap: 8px }
.two > div { min-width: 0 }
.key { margin: .2em 0; color: #444; font-size: 13px }
.key span { margin-right: 1.2em; white-space: nowrap }
.key i { display: inline-block; width: 22px; margin-right: 6px; vertical-align: middle }
"""

Curve = tuple[np.ndarray, np.ndarray]


def curve(rows: list[Row], against: str) -> Curve:
    """Returns where a run stands, (N,) evaluations or seconds, and its best so far there, (N,) scores in %."""
    reference = agent_class(rows[0]["agent"]).reference
    done = scored(rows)
    counts = [row["score"] is not None and (row["keeps"] or reference) for row in done]
    values = [100 * row["score"] if count else -np.inf for row, count in zip(done, counts, strict=True)]
    so_far = np.maximum.accumulate(np.array(values)) if values else np.array([])
    at = [row["total_s"] if against == "seconds" else _evaluations(row) for row in done]
    known = np.isfinite(so_far)
    return np.array(at)[known], so_far[known]


def _evaluations(row: Row) -> float:
    return float(row["sensitivities_evaluations"] + row["number"] + 1)


def together(curves: list[Curve], end: float) -> Curve:
    """Returns where any of the curves changes, from where all have begun up to an end, and (N, seeds) scores there."""
    start = max(at[0] for at, _ in curves)
    grid = np.unique(np.concatenate([[start], *(at[at >= start] for at, _ in curves), [max(start, end)]]))
    return grid, np.stack([values[np.searchsorted(at, grid, side="right") - 1] for at, values in curves], axis=1)


def plot(runs: dict[str, Seeds], against: str, looks: dict[str, tuple[str, str]]) -> "Figure":
    """Returns the best score so far of all agents, against ``evaluations`` or ``seconds``."""
    import plotly.graph_objects as go

    figure = go.Figure()
    found = {agent: [pair for rows in seeds if len((pair := curve(rows, against))[0])] for agent, seeds in runs.items()}
    found = {agent: curves for agent, curves in found.items() if curves}
    last = max((at[-1] for curves in found.values() for at, _ in curves), default=1.0)
    low, high = np.inf, -np.inf
    for agent, curves in found.items():
        colour, dash = looks[agent]
        still = agent_class(runs[agent][0][0]["agent"]).proposals is not None  # a point: drawn on to the end
        grid, values = together(curves, last if still else max(at[-1] for at, _ in curves))
        mean = values.mean(axis=1)
        shown = grid >= SHOWN_FROM * last
        low, high = min(low, *mean[shown], mean[-1]), max(high, values.max())
        if values.shape[1] > 1 and not still:
            edges = {"mode": "lines", "line": {"width": 0, "shape": "hv"}, "hoverinfo": "skip"}
            figure.add_scatter(x=grid, y=values.min(axis=1), **edges)
            figure.add_scatter(x=grid, y=values.max(axis=1), fill="tonexty", fillcolor=_faint(colour), **edges)
        figure.add_scatter(
            x=grid,
            y=mean,
            mode="lines",
            line={"color": colour, "width": 1.6 if still else 2.6, "shape": "hv", "dash": dash},
            hovertemplate=f"<b>{escape(agent)}</b><br>%{{x:.4g}} {against}<br>%{{y:.2f}}%<extra></extra>",
        )
    styled(figure, AXES[against], "best search score so far", 100, 380)
    figure.update_xaxes(type="log", tickformat="~g", dtick="D2")
    margin = 0.06 * (high - low) + 0.05
    return figure.update_yaxes(range=[low - margin, high + margin] if found else None)


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.08)"


def page(out: Path, names: list[str]) -> str:
    """Returns the page with the plots of these problems."""
    problems = {name: by_agent(recorded(out / name)) for name in names}
    looks = look(list(dict.fromkeys(agent for runs in problems.values() for agent in runs)))
    parts = []
    for number, (name, runs) in enumerate(problems.items()):
        keys = "".join(_key(agent, *looks[agent], len(seeds)) for agent, seeds in runs.items())
        plots = "".join(
            f"<div>{plot_html(plot(runs, against, looks), f'{name}-{against}', first=number == place == 0)}</div>"
            for place, against in enumerate(AXES)
        )
        title = escape(find_case(name).heading)
        parts.append(f"<h2>{title}</h2>\n<p class=key>{keys}</p>\n<div class=two>{plots}</div>\n")
    return (
        '<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">\n'
        f"<title>Agents</title><style>{STYLE}</style>\n<h1>Agents compared</h1>\n"
        "<p>Mean over seeds (their number is behind the ×), shaded from the worst to the best of them. Search images, "
        f"nothing is fine-tuned.</p>\n{''.join(parts)}</html>\n"
    )


def look(agents: list[str]) -> dict[str, tuple[str, str]]:
    """Returns colour and dash of each agent: controls are muted and dashed."""
    controls = [agent for agent in agents if agent.partition(",")[0] in CONTROLS]
    others = [agent for agent in agents if agent not in controls]
    looks = {agent: (MUTED[place % len(MUTED)], "dash") for place, agent in enumerate(controls)}
    return looks | {
        agent: (COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)])
        for place, agent in enumerate(others)
    }


def _key(agent: str, colour: str, dash: str, seeds: int) -> str:
    style = {"solid": "solid", "dot": "dotted"}.get(dash, "dashed")
    return f'<span><i style="border-top: 3px {style} {colour}"></i>{escape(agent)} <small>×{seeds}</small></span>'
