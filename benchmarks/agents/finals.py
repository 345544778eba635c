"""Reads the test set, once for the best policy of each finished run, and measures these policies' latency.

``python benchmarks/agents/finals.py --out DIR [PROBLEM ...] [--skip-latency]``, once all runs are finished: a run that
has read the test set is closed. The best policy is chosen as a search does, by what was seen of search images. It is
built again as `problems.py` says under ``final``, its MACs and parameters are counted in what was built, over all
layers, and the budget is checked with these. Nothing is chosen by the test set. What is recorded is not done again.

For problems of measured latency the finalists and the original are then exported and timed, taking turns: this part
wants an idle machine, and may be left for later.
"""

import argparse
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ground import Ground
from problems import PROBLEMS
from recording import FINALS, LATENCIES, ORIGINAL, best, finished, recorded
from records import Journal, Row, read_rows
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from automc import progress
from automc.devices import time_models
from automc.errors import AutoMCError
from automc.recipes import export_onnx
from automc.recipes.deployed import feeds
from automc.search_spaces import Policy
from automc.tasks import example
from automc.tasks.loops import score
from automc.tasks.training import Training, train

RATE = 0.02  # of fine-tuning


def counted(ground: Ground, model: nn.Module) -> dict[str, float]:
    """Returns MACs for one example and parameters of a network, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(example(ground.task))
    return {
        "macs": counter.get_total_flops() / 2,
        "params": float(sum(parameter.numel() for parameter in model.parameters())),
    }


def final(ground: Ground, name: str, rows: list[Row]) -> Row | None:
    """Returns what a run's best policy is worth; None where it has none."""
    row = best(rows, ground.task.higher_is_better)
    if row is None:
        return None
    seed, policy, case = row["seed"], Policy.from_dict(row["policy"]), ground.case
    evaluator = ground.final_evaluator(seed)
    model = evaluator.build(policy)
    costs = row["predicted"] | counted(ground, model)
    answer: dict[str, Any] = {
        "run": name,
        "agent": row["agent"],
        "settings": row["settings"],
        "seed": seed,
        "found at": row["number"],
        "search": row["score"],
        "search, final": evaluator.score(model),
        "built": costs,
        "keeps": all(costs[metric] <= limit for metric, limit in ground.projection.limits.items()),
        "test": score(model, ground.task, "test"),
    }
    if case.final_methods is not None:
        other = ground.final_evaluator(seed, case.final_methods).build(policy)
        answer["test, own methods"] = score(other, ground.task, "test")
    if case.epochs:
        answer[f"test after {case.epochs} epochs"] = tuned(ground, name, policy, seed, case.epochs)
    return answer


def tuned(ground: Ground, name: str, policy: Policy, seed: int, epochs: int) -> float:
    """Returns the test score after fine-tuning, with the original as teacher; it goes on where it was stopped."""
    evaluator = ground.final_evaluator(seed)
    model = evaluator.compressor.prune(policy).model  # in float: a copy of its own
    train(
        model,
        ground.task,
        Training(epochs=epochs, rate=RATE),
        seed=seed,
        description=f"Fine-tuning {name}",
        teacher=ground.subject.model,
        checkpoint=ground.folder / "checkpoints" / f"{name}.pt",
        bfloat16=evaluator.precision == "bfloat16",
    )
    return score(model, ground.task, "test")


def read_test(ground: Ground) -> None:
    """Adds what is missing to the finals of a problem."""
    with Journal(ground.folder / FINALS) as finals:
        there = {row["run"] for row in finals.rows}
        if ORIGINAL not in there:
            model = ground.subject.model
            finals.append(
                {
                    "run": ORIGINAL,
                    "search, final": ground.final_evaluator(0).score(model),
                    "built": counted(ground, model),
                    "test": score(model, ground.task, "test"),
                    "at": _now(),
                }
            )
        for name, rows in recorded(ground.folder).items():
            if name in there:
                continue
            if not finished(rows):
                progress.say(f"{ground.name}: {name} is not finished, its test set stays closed")
            elif (row := final(ground, name, rows)) is not None:
                finals.append(row | {"at": _now()})
                progress.say(f"{ground.name}: {name}: search {row['search']:.4f}, test {row['test']:.4f}")


def measure(ground: Ground) -> None:
    """Times the finalists that were not timed yet beside the original."""
    finals = [row for row in read_rows(ground.folder / FINALS) if row["run"] != ORIGINAL]
    with Journal(ground.folder / LATENCIES) as latencies, tempfile.TemporaryDirectory() as folder:
        there = {row["run"] for row in latencies.rows}
        waiting = [row for row in finals if row["run"] not in there]
        if not waiting:
            return
        subject, runs = ground.subject, recorded(ground.folder)
        models = {ORIGINAL: subject.model}
        for row in waiting:
            policy = Policy.from_dict(runs[row["run"]][row["found at"]]["policy"])
            models[row["run"]] = ground.final_evaluator(row["seed"]).build(policy)
        files = [Path(folder) / f"{number}.onnx" for number in range(len(models))]
        with progress.bar(f"Exporting finalists of {ground.name}", len(models)) as line:
            for model, file in zip(models.values(), files, strict=True):
                export_onnx(model, subject.inputs, file)
                line.advance()
        inputs = [feeds(subject.inputs)] * len(files)
        timings = time_models(subject.bench, files, inputs, f"Measuring finalists of {ground.name}")
        full = ground.costs.cost(ground.space.decode(ground.space.full)).get("latency")
        limit = ground.projection.limits["latency"] / full
        for name, timing in zip(models, timings, strict=True):
            if name == ORIGINAL and ORIGINAL in there:
                continue
            limit = ground.projection.limits["latency"] / ground.costs.cost(ground.space.decode(ground.space.full)).get(
                "latency"
            )
            latencies.append(
                {
                    "run": name,
                    "us": timing.us,
                    "quartiles": [timing.low, timing.high],
                    "share": timing.ratio,
                    "share, quartiles": [timing.ratio_low, timing.ratio_high],
                    "keeps": timing.ratio <= limit,
                    "original, us": timings[0].us,
                    "at": _now(),
                }
            )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", help="by default all that have runs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--skip-latency", action="store_true", help="measure it later, by the same command")
    arguments = parser.parse_args(words)
    names = arguments.problems or [name for name in PROBLEMS if recorded(arguments.out / name)]
    try:
        for name in names:
            ground = Ground(name, arguments.out)
            ground.check()
            read_test(ground)
            if ground.case.measured and not arguments.skip_latency:
                measure(ground)
    except AutoMCError as error:
        progress.say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
