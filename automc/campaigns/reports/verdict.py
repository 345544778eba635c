"""What a search brought, said plainly, and what of it was measured."""

from __future__ import annotations

import math
from collections import Counter

from torch.utils import _pytree as pytree

from automc.campaigns.evaluated import failures
from automc.campaigns.reports.rungs import rung_claims
from automc.campaigns.reports.table import prediction_error
from automc.campaigns.result import Row, Tuned
from automc.campaigns.search import Search
from automc.costs.units import format_cost
from automc.devices import Device
from automc.latency_tables.validation import sentence, trust
from automc.search_spaces.policy import FLOAT_BITS, reference_bits
from automc.tasks import Task
from automc.tasks.metrics import format_epochs, format_score, in_percent

_EXACT = ("avx512_vnni", "avx_vnni", "asimddp", "i8mm")
"""Instructions that add up products of 8-bit numbers in 32 bits; without them x86 does it in 16, which can saturate."""


def verdict(rows: list[Row], agent: str, task: Task, tuned_alike: bool = False) -> tuple[str, bool]:
    """Says in two or three sentences what the search brought beyond its controls, and whether that is anything.

    It brought something only where its policy is ahead of the best control both on the search images that it was
    chosen by and on the test set, and there by more than chance: for a share, two standard errors of the difference.
    Unless controls were fine-tuned like the agent's networks, all are compared as they were before; what fine-tuning
    brought is no merit of the search. A control over the budget is none to be held against.

    Args:
        rows: original, any number of controls, best.
        agent: who was asked to search.
        task: gives the metric and the number of test examples.
        tuned_alike: whether controls were fine-tuned too.
    """
    original, *controls, best = rows
    facts = _facts(original, best, task.metric)
    if not best.keeps_budget:
        within = "is within the latency budget by the model" if best.model else "was measured within the latency budget"
        return f"No policy {within}; the nearest is shown. {facts}", False
    sign = 1 if task.higher_is_better else -1
    if not controls:
        return f"{facts} No control has a result to compare it with.", False
    rivals = [row for row in controls if row.keeps_budget]
    if not rivals:
        return f"{facts} No control {'is' if best.model else 'was measured'} within the budget.", True
    before = " before fine-tuning" if best.tuned and not tuned_alike else ""
    control = max(rivals, key=lambda row: sign * _scores(row, tuned_alike).search_score)
    ours, their = _scores(best, tuned_alike), _scores(control, tuned_alike)
    theirs = f"the control {control.name} ({format_score(their.test_score, task.metric)} on the test set{before})"
    if best.agent != agent or best.policy == control.policy:
        return f"{facts} The search brought nothing that a control did not: {theirs} found as good a policy.", False
    search_gain = sign * (ours.search_score - their.search_score)
    test_gain = sign * (ours.test_score - their.test_score)
    if search_gain <= 0:
        nothing = f"The search brought nothing that a control did not: {theirs} scores as well on search images."
        return f"{facts} {nothing}", False
    if test_gain <= 0:
        nothing = f"On search images {agent} is ahead of {theirs}, on the test set it is not: it brought nothing there."
        return f"{facts} {nothing}", False
    gain = f"{100 * test_gain:.2f} points" if in_percent(task.metric) else f"{test_gain:.4g}"
    examples = sum(len(pytree.tree_leaves(inputs)[0]) for inputs, _ in task.batches("test"))
    if in_percent(task.metric) and test_gain < _by_chance(ours.test_score, their.test_score, examples):
        ahead = f"The search ({agent}) is {gain} ahead of {theirs}, which on {examples} test examples may be chance."
        return f"{facts} {ahead}", False
    return f"{facts} The search ({agent}) brought {gain} on the test set over {theirs}.", True


def _scores(row: Row, tuned: bool) -> Row | Tuned:
    return row.final if tuned else row


def _facts(original: Row, best: Row, metric: str) -> str:
    ratio = best.measured.ratio
    speed = f"{1 / ratio:.2f}x faster" if ratio < 1 else f"{ratio:.2f}x slower"
    scores = [format_score(row.final.test_score, metric) for row in (best, original)]
    facts = (
        f"The best policy runs at {100 * ratio:.1f}% of the original's {best.latency_is} ({speed}), "
        f"with a test {metric} of {scores[0]} against the original's {scores[1]}."
    )
    if best.tuned is None:
        return facts
    before = format_score(best.test_score, metric)
    return f"{facts} Before fine-tuning ({format_epochs(best.tuned.epochs)}) it was {before}."


def _by_chance(one: float, other: float, examples: int) -> float:
    """Returns two standard errors of the difference of two shares, each of that many examples."""
    return float(2 * math.sqrt(sum(share * (1 - share) for share in (one, other)) / max(examples, 1)))


def claims(search: Search, rows: list[Row]) -> list[str]:
    """Returns what was measured and on what, what was computed, and what was only predicted."""
    device, config, hardware = search.setup.subject.device, search.config, search.setup.table
    model = rows[0].model
    runs_on = Device.local() if model else device  # where test scores are from
    lines = [
        _by_model(device) if model else _as_measured(device, rows[0].measured.runs),
        f"Test scores are those of the ONNX files in {runs_on.runtime if model else 'that runtime'}; the test set was "
        "read once, after the search.",
        f"Search scores are {_before(search.evaluator.last.fidelity.epochs)}, on images taken from the training set.",
        *_tuning(rows, config.finetune.epochs > 0),
        "MACs, parameters and bytes count every layer and equal those of the built models. Memory is that of "
        "activations, computed: what must be there at once in one inference, operators' scratch memory apart.",
        *int8_claims(rows, runs_on),
        *_simulation(config.space.simulate or model is not None, model),
    ]
    if hardware is not None and hardware.energy_from is not None:
        lines.append(f"Energy is {hardware.energy_from}: see `docs/accelerators.md` for its sources.")
    if search.setup.table_info is not None:
        errors = [abs(error) for error in map(prediction_error, rows) if error is not None]
        lines.append(
            "Predicted latency is a sum over the table's operators; for the networks above it is off by "
            f"{100 * min(errors):.1f} to {100 * max(errors):.1f}%. All other policies' latencies are predictions only."
        )
        lines.append(sentence(trust(search.setup.table_info.validations, config.subject)))
    extra = sum(done.extra for done in search.evaluations)
    spent = Counter(done.agent for done in search.evaluations if done.proposal)
    lines.append(
        f"Evaluations: {', '.join(f'{agent} {count}' for agent, count in spent.items())}"
        + (f"; {extra} more were added because measured latency was over the budget." if extra else ".")
    )
    lines += rung_claims(search.evaluations, search.evaluator.fidelities)
    if (failed := failures(search.evaluations)) is not None:
        lines.append(f"{failed}.")
    for metric, limit in search.setup.projection.limits.items():
        lines.append(f"Budget: predicted {metric} at most {format_cost(metric, limit)}.")
    return lines


def _before(epochs: float) -> str:
    return f"of networks fine-tuned for {format_epochs(epochs)}" if epochs else "without any fine-tuning"


def _as_measured(device: Device, runs: int) -> str:
    return (
        f"Latency was measured on {device.processor} with {device.runtime}, {device.threads} thread(s), batch "
        f"{device.batch}: {runs} timed inferences of each exported ONNX file, all files taking turns in one process "
        "without AutoMC; medians with quartiles, ratios taken within each turn."
    )


def _by_model(device: Device) -> str:
    weights, activations = reference_bits(device.precisions)
    original = "in float" if weights == FLOAT_BITS else f"at {weights}/{activations} bits"
    return (
        f"Nothing was measured: every latency is by the model of {device.name} ({device.processor}), batch "
        f"{device.batch}. The original's is that of all its layers {original}; its score is that in float."
    )


def int8_claims(rows: list[Row], device: Device) -> list[str]:
    """Returns what int8 means here, where some network has it."""
    networks = {row.name: row.int8 for row in rows if row.int8 and row.int8.asked}
    if not networks:
        return []
    counts = ", ".join(f"{name} {len(one.run)} of {one.layers}" for name, one in networks.items())
    lines = [
        f"Layers that {device.runtime} runs in int8, by its own optimized graph: {counts}. Their weights are signed "
        "8-bit, one scale for each output channel; their activations unsigned 8-bit, one scale a tensor."
    ]
    for name, one in networks.items():
        if left := [layer for layer in one.asked if layer not in one.run]:
            lines.append(
                f"In {name} the file has quantizers around {', '.join(left)} too, which the runtime runs in float."
            )
    if has := [name for name in device.instructions if name in _EXACT]:
        lines.append(f"8-bit products can be summed up by the processor's {', '.join(has)} without saturating.")
    else:
        lines.append(
            f"The processor has none of {', '.join(_EXACT)}: sums of 8-bit products can saturate on it. Test scores "
            "were read with that; on another device `automc recipe verify` checks them anew."
        )
    if "best" in networks:
        lines.append("model.pt2 has the quantizers as fake_quantize operators: the same numbers, and no faster.")
    return lines


def _simulation(asked: bool, model: str | None = None) -> list[str]:
    if not asked:
        return []
    here = "their size says" if model else "their latency and size say"
    return [
        "Bits were simulated: scores are those of numbers on so few levels, sizes count them as if packed. The files "
        f"hold them in 8 bits, so {here} nothing about a device that has such bits."
    ]


def _tuning(rows: list[Row], asked: bool) -> list[str]:
    tuned = {row.name: row.tuned for row in rows if row.tuned}
    lines = []
    if tuned:
        took = ", ".join(f"{name} {format_epochs(one.epochs)} in {one.seconds:.0f} s" for name, one in tuned.items())
        lines.append(
            f"Fine-tuned on the training split alone, the original's outputs as a second target: {took}. Of several "
            "networks, best is the one that is best on search images then. Latency was measured before; the operators "
            "are the same."
        )
    if asked and rows[-1].tuned is None:
        lines.append("Fine-tuning made no better network that keeps the budget, by search images: best had none.")
    return lines
