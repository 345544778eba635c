"""What a search brought, said plainly, and what of it was measured."""

from __future__ import annotations

from automc.campaigns.result import Row
from automc.campaigns.search import Search
from automc.costs.units import format_cost
from automc.tasks import Task
from automc.tasks.metrics import format_score, in_percent


def verdict(rows: list[Row], agent: str, task: Task) -> str:
    """Returns one or two sentences on what the search brought beyond its controls.

    It brought something only where its policy is ahead of the best control both on the search images that it was
    chosen by and on the test set.
    """
    by_name = {row.name: row for row in rows}
    original, best = by_name["original"], by_name["best"]
    sign = 1 if task.higher_is_better else -1
    controls = [by_name["uniform"], by_name["random"]]
    control = max(controls, key=lambda row: (row.keeps_budget, sign * row.search_score))
    facts = (
        f"The best policy runs at {100 * best.measured.ratio:.1f}% of the original's measured latency "
        f"({1 / best.measured.ratio:.2f}x faster), with a test {task.metric} of "
        f"{format_score(best.test_score, task.metric)} against the original's "
        f"{format_score(original.test_score, task.metric)}."
    )
    if not best.keeps_budget:
        return f"No policy was measured within the latency budget; the nearest is shown. {facts}"
    theirs = f"the control {control.name} ({format_score(control.test_score, task.metric)} on the test set)"
    if best.agent != agent or best.policy == control.policy:
        return f"{facts} The search brought nothing that a control did not: {theirs} found as good a policy."
    search_gain = sign * (best.search_score - control.search_score)
    test_gain = sign * (best.test_score - control.test_score)
    if not control.keeps_budget:
        return f"{facts} No control was measured within the budget."
    if search_gain > 0 and test_gain > 0:
        gain = f"{100 * test_gain:.2f} points" if in_percent(task.metric) else f"{test_gain:.4g}"
        return f"{facts} The search ({agent}) brought {gain} on the test set over {theirs}."
    if search_gain > 0:
        return (
            f"{facts} On search images it is ahead of {theirs}, on the test set it is not: "
            "the search brought nothing that shows there."
        )
    return f"{facts} The search brought nothing that a control did not: {theirs} scores as well on search images."


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
        errors = [abs(row.predicted.latency / row.measured.us - 1) for row in rows if row.predicted.latency]
        lines.append(
            "Predicted latency is a sum over the table's operators; for the networks above it is off by "
            f"{100 * min(errors):.1f} to {100 * max(errors):.1f}%. All other policies' latencies are predictions only."
        )
    extra = sum(done.extra for done in search.evaluations)
    lines.append(
        f"{config.agent} and random had {config.evaluations} evaluations each, uniform one"
        + (f"; {extra} more were added because measured latency was over the budget." if extra else ".")
    )
    for metric, limit in search.setup.projection.limits.items():
        lines.append(f"Budget: predicted {metric} at most {format_cost(metric, limit)}.")
    return lines
