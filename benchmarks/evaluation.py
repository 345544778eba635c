"""One evaluation of a policy of ResNet-56 on CIFAR-10: seconds, where they go, and what bfloat16 does to the ranking.

2,000 search and 512 calibration images, two threads, random policies (widths and blocks) under MAC budgets from 40 to
90%. Each is evaluated in the precision that `auto` takes and in float32, in turns. Needs data and public weights:
AUTOMC_CIFAR10 (folder of the binary version) and AUTOMC_WEIGHTS (folder with resnet56-4bfd9763.th).
"""

import json
import time
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from _cifar import cifar_task
from scipy.stats import spearmanr

from automc.compression import LeastSquares, compressor
from automc.compression.recovery import normal_equations, refit
from automc.costs import Budget, CostModel, Projection
from automc.devices import Device
from automc.evaluation import Evaluator, Fidelity
from automc.graph import build_graph
from automc.search_spaces import build_space, load_preset
from automc.tasks import example, loops

POLICIES, IMAGES, BUDGETS = 36, 2000, (40, 50, 60, 70, 80, 90)

spent: dict[str, float] = defaultdict(float)


def watch(owner: Any, name: str, part: str) -> None:
    """Adds what a function takes to a part of the time."""
    function = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[part] += time.perf_counter() - start

    setattr(owner, name, watched)


def measure(subject: Evaluator, policy: Any) -> dict[str, float]:
    """Returns the score of a policy and the seconds of each part."""
    spent.clear()
    wall, processor = time.perf_counter(), time.process_time()
    score = subject.evaluate(policy).score
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    forward = spent["recovery"] - spent["gather"] - spent["solve"] + spent["search"]
    return {
        "score": score,
        "wall": wall,
        "both cores": processor,
        "build": spent["build"],
        "refit": spent["refit"],
        "scoring": wall - spent["build"] - spent["refit"],
        "share beyond forward passes and solves": 1 - (forward + spent["solve"]) / wall,
    }


if __name__ == "__main__":
    torch.set_num_threads(2)
    watch(compressor, "compress", "build")
    watch(LeastSquares, "refit", "refit")
    watch(refit, "call", "recovery")
    watch(refit, "sampled_inputs", "gather")
    watch(normal_equations.NormalEquations, "add", "solve")
    watch(normal_equations.NormalEquations, "solve", "solve")
    watch(loops, "call", "search")
    task = cifar_task("resnet56")
    model = task.model()
    graph = build_graph(model, example(task))
    space = build_space(graph, load_preset("width-depth"), Device.local().channel_multiple)
    costs, generator = CostModel(graph, space), np.random.default_rng(0)
    projections = [Projection(costs, [Budget.parse(f"macs<={percent}%")]) for percent in BUDGETS]
    fidelities = [Fidelity(search_images=IMAGES, precision=precision) for precision in ("auto", "float32")]
    subjects = [Evaluator(task, model, graph, fidelity) for fidelity in fidelities]
    originals = [subject.score(model) for subject in subjects]
    rows: list[list[dict[str, float]]] = [[], []]
    for number in range(POLICIES):
        projection = projections[number % len(projections)]
        policy = space.decode(projection.project(space.sample(generator, 1)[0]))
        for subject, found in zip(subjects, rows, strict=True):
            found.append(measure(subject, policy))
    answer: dict[str, Any] = {}
    for subject, found, original in zip(subjects, rows, originals, strict=True):
        medians = {part: round(float(np.median([row[part] for row in found])), 3) for part in found[0]}
        slowest = round(max(row["wall"] for row in found), 3)
        answer[subject.precision] = {"original's score": original, "slowest": slowest, "median": medians}
    one, other = ([row["score"] for row in found] for found in rows)
    answer["Spearman"] = round(float(spearmanr(one, other).statistic), 4)
    answer["largest difference of scores"] = round(float(np.abs(np.subtract(one, other)).max()), 4)
    answer["mean difference of scores"] = round(float(np.subtract(one, other).mean()), 4)
    print(json.dumps(answer, indent=1))
