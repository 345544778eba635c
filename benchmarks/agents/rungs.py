"""How well each rung ranks policies as fine-tuning would: one network, CIFAR-10, policies that spread.

``python benchmarks/agents/rungs.py OUT [--policies 24 --epochs 2 --network resnet20 --budget "macs<=40%"]``

Three in four of the policies are random ones that meet the budget; the others are of lesser kinds: random ones at
three quarters of the budget, and ones whose widths change by halves from layer to layer. Each is scored on search
images at ``few``, ``normal`` and ``tuned`` (half an epoch), then fine-tuned ``--epochs`` epochs from what recovery made
of it, and scored on all search images. ``OUT/rungs.jsonl`` gets a line for each policy and rung; a run goes on where it
was stopped, a training from its last epoch. The test set is read once all of that is there, by the fine-tuned networks,
into ``OUT/test.json``; nothing is chosen by it. ``OUT/rungs.html`` has the plot.

Printed, of each rung: Spearman's and Kendall's rank correlation with fine-tuned accuracy, with an interval that nine of
ten bootstrap resamples of the policies lie in; seconds a policy; and how often what a rung calls worse than its best in
99% of resampled images (`automc.evaluation.ahead`) was better after fine-tuning: whether it is safe to give up such
policies at that rung.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from _cifar import cifar_task

from automc import files
from automc.costs import Budget, CostModel, Projection
from automc.evaluation import Evaluator, Fidelity, ahead
from automc.graph import build_graph
from automc.search_spaces import Policy, SpaceConfig, build_space
from automc.tasks import Task, concatenate, example
from automc.tasks.loops import score
from automc.tasks.training import FINE_TUNING_RATE, Training, train

RUNGS, FINAL, TEST = ("few", "normal", "tuned"), "fine-tuned", "test"
LESSER, TIGHTER = 4, 0.75  # one in so many policies is of a lesser kind
RESAMPLES, INSIDE, CERTAIN = 2000, 0.9, 0.99


def policies(costs: CostModel, budget: str, count: int, seed: int) -> list[Policy]:
    """Returns distinct policies on the budget, best kinds and lesser ones mixed."""
    generator, space = np.random.default_rng(seed), costs.space
    bound = Budget.parse(budget)
    usual, tight = (Projection(costs, [bound.tightened(share)]) for share in (1.0, TIGHTER))
    found: dict[Policy, None] = {}
    while len(found) < count:
        place = len(found)
        if place % LESSER != LESSER - 1:
            index = usual.project(np.maximum(*space.sample(generator, 2)))
        elif place % (2 * LESSER) == LESSER - 1:
            index = tight.project(space.sample(generator, 1)[0])
        else:
            jumps = generator.integers(0, 2, len(space.axes))
            index = usual.project(np.where(jumps, space.full, space.full // 2))
        found.setdefault(space.decode(index))
    return list(found)


class Results:
    """The lines of ``rungs.jsonl``: one for each policy and rung, each written once."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self._path = path
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else [{"about": about}]
        if lines[0]["about"] != about:
            raise SystemExit(f"{path}: of another run ({lines[0]['about']}); choose another OUT")
        self.rows = {(line["number"], line["rung"]): line for line in lines[1:]}
        self._lines = lines
        self._write()

    def add(self, number: int, rung: str, value: float, seconds: float) -> None:
        line = {"number": number, "rung": rung, "score": value, "seconds": round(seconds, 2)}
        self.rows[number, rung] = line
        self._lines.append(line)
        self._write()

    def column(self, rung: str, what: str, count: int) -> np.ndarray:
        return np.array([self.rows[number, rung][what] for number in range(count)])

    def _write(self) -> None:
        files.write_text(self._path, "".join(f"{json.dumps(line)}\n" for line in self._lines))


def run(task: Task, evaluator: Evaluator, chosen: list[Policy], results: Results, arguments: Any) -> None:
    """Scores and trains what is not there yet, rung by rung."""
    for rung, name in enumerate(RUNGS):
        for number, policy in enumerate(chosen):
            if (number, name) not in results.rows:
                at = evaluator.at(rung)  # made before the clock runs
                start = time.perf_counter()
                network = at.build(policy)
                outputs = at.outputs(network)
                value, seconds = at.score(network), time.perf_counter() - start
                torch.save(outputs, arguments.out / f"{name}-{number}.pt")
                results.add(number, name, value, seconds)
                print(f"{name}, policy {number}: {100 * value:.2f}, {seconds:.1f} s", flush=True)
    settings = Training(epochs=arguments.epochs, rate=FINE_TUNING_RATE)
    normal = evaluator.at(RUNGS.index("normal"))
    for number, policy in enumerate(chosen):
        if (number, FINAL) not in results.rows:
            network = normal.build(policy)
            took = train(
                network,
                task,
                settings,
                seed=arguments.seed,
                description=f"Policy {number}",
                teacher=evaluator.model,
                checkpoint=arguments.out / f"training-{number}.pt",
                bfloat16=normal.precision == "bfloat16",
            )
            value = normal.score(network)
            results.add(number, FINAL, value, took.seconds)
            print(f"{FINAL}, policy {number}: {100 * value:.2f}, {took.seconds:.0f} s", flush=True)
    test = arguments.out / "test.json"
    known: dict[str, float] = json.loads(test.read_text()) if test.exists() else {}
    for number, policy in enumerate(chosen):  # once all else is there; the checkpoints have the networks
        if str(number) not in known:
            network = normal.build(policy)
            network.load_state_dict(torch.load(arguments.out / f"training-{number}.pt", weights_only=True)["model"])
            known[str(number)] = score(network, task, "test")
            files.write_text(test, json.dumps(known))


def correlation(one: np.ndarray, other: np.ndarray) -> dict[str, list[float]]:
    """Returns Spearman's and Kendall's correlation, each with the ends of its bootstrap interval."""
    generator = np.random.default_rng(0)
    drawn = [generator.integers(0, len(one), len(one)) for _ in range(RESAMPLES)]
    answer = {}
    for name, measure in (("Spearman", stats.spearmanr), ("Kendall", stats.kendalltau)):
        values = [measure(one[d], other[d]).statistic for d in drawn if len(set(d)) > 2]
        ends = np.nanquantile(values, [(1 - INSIDE) / 2, (1 + INSIDE) / 2])
        answer[name] = [round(float(value), 3) for value in (measure(one, other).statistic, *ends)]
    return answer


def given_up(task: Task, outputs: list[Tensor], targets: Tensor, scores: np.ndarray, final: np.ndarray) -> list[int]:
    """Returns how many policies a rung is sure are worse than its best, and how many of these were better at last."""
    best = int(scores.argmax())
    lost = [
        number
        for number, one in enumerate(outputs)
        if number != best and (share := ahead(task, outputs[best], one, targets)) is not None and share >= CERTAIN
    ]
    return [len(lost), int((final[lost] > final[best]).sum())]


def report(task: Task, evaluator: Evaluator, results: Results, count: int, out: Path) -> Iterator[dict[str, Any]]:
    """Yields what is said of each rung."""
    final = results.column(FINAL, "score", count)
    for rung, name in enumerate((*RUNGS, TEST)):
        if name == TEST:
            known = json.loads((out / "test.json").read_text())
            yield {"rung": TEST, **correlation(np.array([known[str(number)] for number in range(count)]), final)}
            return
        scores = results.column(name, "score", count)
        targets = concatenate([t for _, t in task.batches("search", evaluator.fidelities[rung].search_images)])
        outputs = [torch.load(out / f"{name}-{number}.pt", weights_only=True) for number in range(count)]
        worse, wrong = given_up(task, outputs, targets, scores, final)
        yield {
            "rung": name,
            **correlation(scores, final),
            "seconds a policy": round(float(results.column(name, "seconds", count).mean()), 2),
            "certainly worse than its best": worse,
            "of these better in the end": wrong,
            "lost by taking its best": round(float(final.max() - final[scores.argmax()]), 4),
        }


def plot(results: Results, said: list[dict[str, Any]], count: int, path: Path) -> None:
    """Writes fine-tuned accuracy against each rung's score."""
    from plotly.subplots import make_subplots

    titles = [f"{one['rung']}: Spearman {one['Spearman'][0]:.2f}" for one in said[: len(RUNGS)]]
    figure = make_subplots(rows=1, cols=len(RUNGS), shared_yaxes=True, subplot_titles=titles)
    for column, name in enumerate(RUNGS, start=1):
        x, y = (100 * results.column(rung, "score", count) for rung in (name, FINAL))
        texts = [f"policy {number}" for number in range(count)]
        figure.add_scatter(x=x, y=y, text=texts, mode="markers", showlegend=False, row=1, col=column)
        figure.update_xaxes(title=f"score at {name}, %", row=1, col=column)
    figure.update_yaxes(title="fine-tuned, search images, %", col=1)
    with files.replacing(path) as temporary:
        figure.write_html(temporary, include_plotlyjs=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--policies", type=int, default=24)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--tuned", type=float, default=0.5, help="epochs of the rung tuned")
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--budget", default="macs<=40%")
    parser.add_argument("--multiple", type=int, default=1, help="channels come in multiples of")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    task = cifar_task(arguments.network)
    files.ensure_writable(arguments.out)
    results = Results(
        arguments.out / "rungs.jsonl",
        {key: value for key, value in vars(arguments).items() if key not in ("out", "threads")},
    )
    model = task.model()
    graph = build_graph(model, example(task))
    space = build_space(graph, SpaceConfig(channel_multiple=arguments.multiple), arguments.multiple)
    chosen = policies(CostModel(graph, space), arguments.budget, arguments.policies, arguments.seed)
    few, normal, tuned = (Fidelity.model_validate(name) for name in RUNGS)
    above = [normal, tuned.model_copy(update={"epochs": arguments.tuned})]
    evaluator = Evaluator(task, model, graph, few, seed=arguments.seed, rungs=above)
    run(task, evaluator, chosen, results, arguments)
    said = list(report(task, evaluator, results, len(chosen), arguments.out))
    plot(results, said, len(chosen), arguments.out / "rungs.html")
    files.write_text(arguments.out / "rungs.json", json.dumps(said, indent=1))
    print(json.dumps(said, indent=1))
