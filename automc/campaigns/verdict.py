"""What a search brought, said plainly, and what of it was measured."""

from __future__ import annotations

import math

from torch.utils import _pytree as pytree

from automc.agents import CONTROLS
from automc.campaigns.result import Row, failures
from automc.campaigns.search import Search
from automc.campaigns.table import prediction_error
from automc.costs.units import format_cost
from automc.tasks import Task
from automc.tasks.metrics import format_score, in_percent


def verdict(rows: list[Row], agent: str, task: Task) -> tuple[str, bool]:
    """Says in two or three sentences what the search brought beyond its controls, and whether that is anything.

    It brought something only where its policy is ahead of the best control both on the search images that it was
    chosen by and on the test set, and there by more than chance: for a share, two standard errors of the difference.
    """
    by_name = {row.name: row for row in rows}
    original, best = by_name["original"], by_name["best"]
    facts = _facts(original, best, task.metric)
    if not best.keeps_budget:
        return f"No policy was measured within the latency budget; the nearest is shown. {facts}", False
    sign = 1 if task.higher_is_better else -1
    controls = [by_name[name] for name in CONTROLS if name in by_name]
    if not controls:
        return f"{facts} No control has a result to compare it with.", False
    control = max(controls, key=lambda row: (row.keeps_budget, sign * row.search_score))
    if not control.keeps_budget:
        return f"{facts} No control was measured within the budget.", True
    theirs = f"the control {control.name} ({format_score(control.test_score, task.metric)} on the test set)"
    if best.agent != agent or best.policy == control.policy:
        return f"{facts} The search brought nothing that a control did not: {theirs} found as good a policy.", False
    search_gain = sign * (best.search_score - control.search_score)
    test_gain = sign * (best.test_score - control.test_score)
    if search_gain <= 0:
        nothing = f"The search brought nothing that a control did not: {theirs} scores as well on search images."
        return f"{facts} {nothing}", False
    if test_gain <= 0:
        nothing = f"On search images {agent} is ahead of {theirs}, on the test set it is not: it brought nothing there."
        return f"{facts} {nothing}", False
    gain = f"{100 * test_gain:.2f} points" if in_percent(task.metric) else f"{test_gain:.4g}"
    examples = sum(len(pytree.tree_leaves(inputs)[0]) for inputs, _ in task.batches("test"))
    if in_percent(task.metric) and test_gain < _by_chance(best.test_score, control.test_score, examples):
        ahead = f"The search ({agent}) is {gain} ahead of {theirs}, which on {examples} test examples may be chance."
        return f"{facts} {ahead}", False
    return f"{facts} The search ({agent}) brought {gain} on the test set over {theirs}.", True


def _facts(original: Row, best: Row, metric: str) -> str:
    ratio = best.measured.ratio
    speed = f"{1 / ratio:.2f}x faster" if ratio < 1 else f"{ratio:.2f}x slower"
    scores = [format_score(row.test_score, metric) for row in (best, original)]
    return (
        f"The best policy runs at {100 * ratio:.1f}% of the original's measured latency ({speed}), "
        f"with a test {metric} of {scores[0]} against the original's {scores[1]}."
    )


def _by_chance(one: float, other: float, examples: int) -> float:
    """Returns two standard errors of the difference of two shares, each of that many examples."""
    return float(2 * math.sqrt(sum(share * (1 - share) for share in (one, other)) / max(examples, 1)))


def claims(search: Search, rows: list[Row]) -> list[str]:
    """Returns what was measured and on what, what was computed, and what was only predicted."""
    device, config = search.setup.subject.device, search.config
    runs = rows[0].measured.runs
    lines = [
        f"Latency was measured on {device.processor} with {device.runtime}, {device.threads} thread(s), batch "
        f"{device.batch}: {runs} timed inferences of each exported ONNX file, all files taking turns in one process "
        "without AutoMC; medians with quartiles, ratios taken within each turn.",
        "Test scores are those of the ONNX files in that runtime; the test set was read once, after the search.",
        "Search scores are without any fine-tuning, on images taken from the training set.",
        "MACs, parameters and bytes count every layer and equal those of the built models.",
    ]
    if search.setup.table is not None:
        errors = [abs(error) for error in map(prediction_error, rows) if error is not None]
        lines.append(
            "Predicted latency is a sum over the table's operators; for the networks above it is off by "
            f"{100 * min(errors):.1f} to {100 * max(errors):.1f}%. All other policies' latencies are predictions only."
        )
    extra = sum(done.extra for done in search.evaluations)
    lines.append(
        f"{config.agent} and random had {config.evaluations} evaluations each, uniform one"
        + (f"; {extra} more were added because measured latency was over the budget." if extra else ".")
    )
    if (failed := failures(search.evaluations)) is not None:
        lines.append(f"{failed}.")
    for metric, limit in search.setup.projection.limits.items():
        lines.append(f"Budget: predicted {metric} at most {format_cost(metric, limit)}.")
    return lines
