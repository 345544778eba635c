"""Results of searches made up by hand, for tests of what shows them."""

from dataclasses import replace
from typing import Any

import numpy as np

from automc.campaigns.evaluated import Evaluated, Unit
from automc.campaigns.result import Int8, Row, SearchResult, TableInfo, Tuned
from automc.costs import Cost
from automc.devices import Device, Timing
from automc.search_spaces import Choice, Policy

FULL_MACS, FULL_PARAMS, FULL_BYTES, FULL_US = 40.8e6, 272_474.0, 1_095_336.0, 1834.0
VERDICT = (
    "The best policy runs at 57.9% of the original's measured latency (1.73x faster), with a test top-1 of 91.07% "
    "against the original's 92.41%. The search (tpe) brought 1.94 points on the test set over the control uniform."
)
Choices = dict[str, dict[str, Any]]


def make_units(blocks_per_stage: int = 2) -> list[Unit]:
    """A residual network's units; a stage's first block changes the shape, so only stage one's can be dropped."""
    units = [Unit(name="conv1", kind="channels", full=16)]
    for stage, width in enumerate((16, 32, 64), start=1):
        for index in range(blocks_per_stage):
            name = f"layer{stage}.{index}"
            if stage > 1 and index == 0:
                units.append(Unit(name=f"{name}.conv1", kind="channels", full=width))
                units.append(Unit(name=f"{name}.shortcut.0", kind="channels", full=width))
            else:
                units.append(Unit(name=name, kind="block", full=1))
                units.append(Unit(name=f"{name}.conv1", kind="channels", full=width, block=name))
    return [*units, Unit(name="linear", kind="channels", full=10, frozen="its channels are the network's output")]


def make_policy(units: list[Unit], share: float, spread: float, generator: np.random.Generator) -> Choices:
    policy: Choices = {}
    for unit in units:
        if unit.frozen:
            continue
        if unit.kind == "block":
            policy[unit.name] = {"keep": bool(generator.random() > 0.9 * spread)}
        else:
            kept = 8 * round(unit.full * (share + spread * generator.uniform(-1, 1)) / 8)
            policy[unit.name] = {"channels": int(min(max(kept, 8), unit.full))}
    return policy


def make_costs(share: float, latency: bool = True) -> Cost:
    return Cost(
        macs=share * FULL_MACS,
        params=round(share * FULL_PARAMS),
        size=round(share * FULL_BYTES),
        latency=(0.12 + 0.86 * share) * FULL_US if latency else None,
        memory=196_608 * share,
    )


def make_row(name: str, agent: str | None, policy: Choices | None, share: float, scores: tuple[float, float]) -> Row:
    us = (0.1 + 0.9 * share) * FULL_US
    ratio = us / FULL_US
    spread = 0.0 if name == "original" else 0.008
    return Row(
        name=name,
        agent=agent,
        policy=policy,
        predicted=make_costs(share),
        measured=Timing(
            us=us, low=0.991 * us, high=1.016 * us,
            ratio=ratio, ratio_low=(1 - spread) * ratio, ratio_high=(1 + spread) * ratio, runs=2400,
        ),
        file_size=round(share * FULL_BYTES) + 21_300,
        search_score=scores[0],
        test_score=scores[1],
        keeps_budget=ratio <= 0.6,
    )  # fmt: skip


def make_result(evaluations: int = 30, blocks_per_stage: int = 2, **changes: Any) -> SearchResult:
    """A search over one network with as many evaluations for random as for tpe, and one for uniform."""
    generator = np.random.default_rng(0)
    units = make_units(blocks_per_stage)
    done = [make_evaluation("uniform", 0, make_policy(units, 0.55, 0.0, generator), 0.54, 0.782)]
    for agent in ("random", "tpe"):
        for number in range(evaluations):
            learned = 1 - np.exp(-4 * number / evaluations) if agent == "tpe" else 0.0
            share = 0.54 - 0.25 * float(generator.random()) ** 2 * (1 - 0.6 * learned)
            score = 0.87 - (0.87 - 0.35 * generator.random()) * (1 - learned) * 0.6 - 0.9 * (0.54 - share)
            score += 0.12 * (agent == "random") + 0.02 * generator.standard_normal()
            spread = 0.35 * (1 - 0.7 * learned)
            done.append(make_evaluation(agent, number, make_policy(units, share, spread, generator), share, score))
    best = max((item for item in done if item.agent == "tpe"), key=lambda item: item.value)
    best.policy = Policy({**best.policy, "layer1.1": Choice(keep=False)})
    luck = max((item for item in done if item.agent == "random"), key=lambda item: item.value)
    values: dict[str, Any] = {
        "task": "cifar10",
        "metric": "top-1",
        "higher_is_better": True,
        "agent": "tpe",
        "budgets": ["latency<=60%"],
        "limits": {"latency": 0.6 * 0.98 * FULL_US},
        "device": Device(
            name="cpu",
            processor="x86_64 AMD EPYC 7B13 c25 m1",
            instructions=("avx2",),
            runtime="onnxruntime 1.23.2",
        ),
        "table": TableInfo(
            path="tables/cpu-t1-b1-3fa91c20.yaml",
            measured_at="2026-03-02T08:15:11+00:00",
            method="each operator alone in the runtime, widths taking turns; midmean over 400 runs",
            operators=412,
            reused=True,
        ),
        "rows": [
            make_row("original", None, None, 1.0, (0.9302, 0.9241)),
            make_row("uniform", "uniform", done[0].policy.to_dict(), 0.54, (0.782, 0.8913)),
            make_row("random", "random", luck.policy.to_dict(), 0.527, (luck.value, 0.8847)),
            make_row("best", "tpe", best.policy.to_dict(), 0.532, (best.value, 0.9107)),
        ],
        "evaluations": done,
        "units": units,
        "verdict": VERDICT,
        "brought": True,
        "claims": [
            "Latency was measured on x86_64 AMD EPYC 7B13 with onnxruntime 1.23.2, 1 thread(s), batch 1: 2400 timed "
            "inferences of each exported ONNX file, all files taking turns in one process without AutoMC.",
            "Test scores are those of the ONNX files in that runtime; the test set was read once, after the search.",
            "All other policies' latencies are predictions only.",
        ],
        "seed": 7,
        "seconds": 754.2,
        "created_at": "2026-03-02T09:41:00+00:00",
        "versions": {"automc": "0.1.0", "python": "3.11.9", "torch": "2.8.0", "onnxruntime": "1.23.2"},
    }
    return SearchResult(**{**values, **changes})


def make_evaluation(agent: str, number: int, policy: Choices, share: float, score: float) -> Evaluated:
    return Evaluated(
        agent=agent,
        number=number,
        policy=Policy.from_dict(policy),
        score=score,
        predicted=make_costs(share),
        seconds=3.21,
    )


def without_latency(result: SearchResult) -> SearchResult:
    rows = [r.model_copy(update={"predicted": replace(r.predicted, latency=None)}) for r in result.rows]
    done = [e.model_copy(update={"predicted": replace(e.predicted, latency=None)}) for e in result.evaluations]
    changes = {"table": None, "table_missing": "the device cannot profile operators", "rows": rows, "evaluations": done}
    return result.model_copy(update={**changes, "budgets": ["macs<=55%"], "limits": {"macs": 0.55 * FULL_MACS}})


def with_int8(result: SearchResult) -> SearchResult:
    """The same with precision searched: odd layers of best in int8, and layers whose channels are another unit's."""
    units = [unit.model_copy(update={"int8": unit.kind == "channels"}) for unit in result.units]
    units.insert(3, Unit(name="layer1.0.conv2", kind="layer", full=16, block="layer1.0", group="conv1", int8=True))
    able = [unit.name for unit in units if unit.int8]
    rows = []
    for row in result.rows:
        run = able[1::2] if row.name == "best" else []
        bits = {name: dict.fromkeys(("weight_bits", "activation_bits"), 8 if name in run else 32) for name in able}
        policy = row.policy and {
            name: {**row.policy.get(name, {}), **bits.get(name, {})} for name in {**row.policy, **bits}
        }
        rows.append(row.model_copy(update={"policy": policy, "int8": Int8(layers=len(able), asked=run, run=run)}))
    return result.model_copy(update={"rows": rows, "units": units})


def with_tuning_and_controls(result: SearchResult) -> SearchResult:
    """The same after fine-tuning, beside five controls, one of them over the budget."""
    original, _, random, best = result.rows
    names = {"int8": 0.81, "uniform": 0.54, "uniform+int8": 0.535, "halved, then thinned out": 0.5}
    rows, done = [original], []
    for number, (name, share) in enumerate(names.items()):
        policy = make_policy(result.units, share, 0.0, np.random.default_rng(number))
        row = make_row(name, name, policy, share, (0.92 - 0.14 * number, 0.91 - 0.11 * number))
        rows.append(row)
        done.append(make_evaluation(name, 0, policy, share, row.search_score))
    tuned = [
        row.model_copy(update={"tuned": Tuned(epochs=10, seconds=612.3, search_score=scores[0], test_score=scores[1])})
        for row, scores in ((random, (0.8991, 0.9046)), (best, (0.9251, 0.9187)))
    ]
    evaluations = [*done, *(e for e in result.evaluations if e.agent != "uniform")]
    return result.model_copy(update={"rows": [*rows, *tuned], "evaluations": evaluations})
