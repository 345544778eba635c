"""The report's table of the front that the agent found."""

from __future__ import annotations

from automc.campaigns.reports.plots import summary
from automc.campaigns.result import SearchResult
from automc.costs.units import format_cost
from automc.tasks.metrics import format_score


def front_lines(result: SearchResult) -> list[tuple[str, ...]]:
    """Returns a line for each policy of the agent's front: its number, score, costs of `front_over`, what it does."""
    done = {item.number: item for item in result.scored if item.agent == result.agent}
    lines = []
    for item in (done[number] for number in result.front):
        known = ((metric, getattr(item.predicted, metric)) for metric in result.front_over)
        costs = ("–" if cost is None else format_cost(metric, cost) for metric, cost in known)
        does = "; ".join(summary(result.units, item.policy.to_dict()))
        lines.append((str(item.number), format_score(item.value, result.metric), *costs, does))
    return lines
