"""Each selector with each recovery, without training: top-1 at half of the MACs, all widths cut alike, and seconds.

``python benchmarks/selection.py [NETWORK ...] [--only SELECTOR]``. Defaults are chosen by the first figure, top-1 on
the search images; the second is on the test set. 2,000 calibration images, two threads. Selecting, and observing what
the original puts out, are done once for a network, building and recovering for each policy; their seconds are given
apart.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from _cifar import cifar_task

from automc.compression import SELECTORS, Calibration, LeastSquares, compress, make_selector, recalibrate
from automc.compression.calibration import calibration_examples
from automc.costs import Budget, CostModel, Projection
from automc.evaluation import Forward
from automc.graph import build_graph
from automc.search_spaces import SpaceConfig, build_space
from automc.tasks import example
from automc.tasks.loops import as_float32, predict

NETWORKS, IMAGES, BUDGET = ("resnet56", "plain20", "vgg16-quarter"), 2000, "macs<=50%"
RECOVERIES = {
    "none": (),
    "BatchNorm": ("batchnorm",),
    "least squares": ("plain",),
    "+ bias": ("bias",),
    "+ sums": ("sums",),
    "+ bias + sums": ("both",),
    "+ bias + sums, BatchNorm": ("both", "batchnorm"),
}
LEAST_SQUARES = {"plain": (False, False), "bias": (True, False), "sums": (False, True), "both": (True, True)}

T = TypeVar("T")


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """Returns what a function returns, and its seconds."""
    start = time.perf_counter()
    return function(), round(time.perf_counter() - start, 2)


def measure(network: str, selectors: list[str]) -> dict[str, Any]:
    """Returns the rows of one network."""
    task = cifar_task(network)
    model = task.model()
    graph = build_graph(model, example(task))
    space = build_space(graph, SpaceConfig(depth=False), 1)
    costs = CostModel(graph, space)
    index = Projection(costs, [Budget.parse(BUDGET)]).project(space.full)
    prices = costs.prices(np.stack([index, space.full]))["macs"]
    forward = Forward(task, model)
    inputs, targets = calibration_examples(task, IMAGES)
    calibration = Calibration(forward.prepare(inputs), targets, task.loss, forward.context)
    splits = [[(forward.prepare(images), y) for images, y in task.batches(split)] for split in ("search", "test")]

    def top1(subject: torch.nn.Module) -> list[float]:
        with forward.context():
            predicted = [predict(subject, batches) for batches in splits]
        return [round(100 * task.score(as_float32(outputs), labels), 2) for outputs, labels in predicted]

    fits, observing = {}, {}
    for name, (bias, sums) in LEAST_SQUARES.items():
        fits[name], observing[name] = timed(
            lambda bias=bias, sums=sums: LeastSquares(model, graph, calibration.inputs, 0, bias, sums)
        )
    rows: dict[str, Any] = {}
    for selector in selectors:
        scores, selecting = timed(lambda selector=selector: make_selector(selector).scores(model, graph, calibration))
        rows[selector] = {"seconds to select": selecting}
        for name, steps in RECOVERIES.items():
            start = time.perf_counter()
            made = compress(model, graph, space.decode(index), scores)
            with forward.context():
                for step in steps:
                    if step == "batchnorm":
                        recalibrate(made.model, calibration)
                    else:
                        fits[step].refit(made)
            seconds = round(time.perf_counter() - start, 2)
            rows[selector][name] = [*top1(made.model), seconds]
        print(json.dumps({network: {selector: rows[selector]}}), file=sys.stderr)  # it takes long: nothing is lost
    return {
        "share of MACs": round(float(prices[0] / prices[1]), 4),
        "original": top1(model),
        "seconds to observe the original": observing["both"],
        "top-1 on search and test, seconds to build and recover": rows,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK")
    parser.add_argument("--only", choices=list(SELECTORS), metavar="SELECTOR")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    for asked in arguments.networks:
        rows = measure(asked, [arguments.only] if arguments.only else list(SELECTORS))
        print(json.dumps({asked: rows}), flush=True)
