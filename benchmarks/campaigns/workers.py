"""How busy workers are kept, and what a second one brings.

    python benchmarks/campaigns/workers.py noop [WORKERS] [JOBS]     evaluations that are known: what Ray costs each
    python benchmarks/campaigns/workers.py sleep [WORKERS] [JOBS]    evaluations that sleep for a second
    python benchmarks/campaigns/workers.py compute [JOBS] [ROUNDS]   ResNet-20 pruned, recovered and scored on noise, by
                                                                     one process and by two, in turns

``busy`` is the time of all evaluations over that of all workers, from the first that is handed out to the last that
comes back. Processes and data are there before the clock starts; how long that took is told as ``open``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import nn

from automc.campaigns.config import Compute
from automc.campaigns.workers import Job, Work, Workers, open_workers
from automc.compression import Methods
from automc.evaluation import Evaluator, Fidelity
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.search_spaces import Policy, SpaceConfig, build_space
from automc.tasks import Batch, Split, Task, example, load_task
from automc.testing import moody


class Noise(Task):
    """ResNet-20 as it is initialised, and images of noise."""

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return CifarResNet(blocks=3).eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(len(split))
        for _ in range(8 if n is None else 1):
            yield (
                torch.randn(128, 3, 32, 32, generator=generator)[:n],
                torch.randint(10, (128,), generator=generator)[:n],
            )


def prepared(name: str, arguments: dict[str, float], methods: Methods, jobs: int) -> tuple[Work, list[Policy]]:
    """Returns what workers need, and random policies."""
    task = load_task(name, arguments)
    model = task.model()
    graph = build_graph(model, example(task))
    space = build_space(graph, SpaceConfig(depth=False, channel_multiple=1), 1)
    generator = np.random.default_rng(0)
    policies = [space.decode(generator.integers(1, space.sizes - 1)) for _ in range(jobs)]
    evaluator = Evaluator(task, model, graph, Fidelity(calibration_images=128), methods)
    return Work(name, arguments, str(Path().resolve()), evaluator), policies


def handed_out(workers: Workers, policies: Sequence[Policy]) -> tuple[float, float]:
    """Returns seconds until all came back, and how busy the workers were."""
    waiting = iter([Job("benchmark", number, policy) for number, policy in enumerate(policies)])
    start, done, under_way = time.perf_counter(), [], 0
    while len(done) < len(policies):
        while under_way < workers.room and (job := next(waiting, None)) is not None:
            workers.submit(job)
            under_way += 1
        new = workers.wait(1.0)
        under_way -= len(new)
        done += new
    wall = time.perf_counter() - start
    return wall, sum(outcome.seconds for outcome in done) / wall / workers.size


def many(kind: str, count: int, jobs: int) -> None:
    seconds = {"seconds": 1.0} if kind == "sleep" else {}
    work, policies = prepared(f"{moody.__file__}:Moody", seconds, Methods(recovery=()), jobs)
    if kind == "noop":
        policies = [policies[0]] * jobs
    start = time.perf_counter()
    with open_workers(Compute(workers=count), work) as workers:
        opened = time.perf_counter() - start
        if kind == "noop":
            handed_out(workers, policies[: 4 * count])  # each worker gets to know the policy
        wall, busy = handed_out(workers, policies)
    each = 1000 * wall / jobs
    print(f"{kind}: {count} workers, {jobs} evaluations, {each:.2f} ms each, busy {busy:.1%}, open {opened:.0f} s")


def compute(jobs: int, rounds: int) -> None:
    work, policies = prepared(f"{Path(__file__).resolve()}:Noise", {}, Methods(), 2 * rounds * jobs)
    turns = iter([policies[at : at + jobs] for at in range(0, len(policies), jobs)])
    ratios = []
    with open_workers(Compute(), work) as one, open_workers(Compute(workers=2), work) as two:
        for workers in (one, two):
            handed_out(workers, policies[:4])  # calibration is made ready by the first evaluation
        for _ in range(rounds):
            (alone, _), (together, busy) = handed_out(one, next(turns)), handed_out(two, next(turns))
            ratios.append(alone / together)
            each = f"{1000 * alone / jobs:.0f} ms an evaluation with one, {1000 * together / jobs:.0f} with two"
            print(f"compute: {each}, busy {busy:.1%}")
    spread = f"lowest {min(ratios):.2f}, highest {max(ratios):.2f}"
    print(f"two workers give {median(ratios):.2f} times the evaluations of one ({spread})")


if __name__ == "__main__":
    torch.set_num_threads(1)
    kind, *rest = sys.argv[1:] or ["noop"]
    numbers = [int(one) for one in rest]
    if kind == "compute":
        compute(*(numbers + [16, 5][len(numbers) :]))
    elif kind in ("noop", "sleep"):
        many(kind, *(numbers + ([2, 2000] if kind == "noop" else [64, 1280])[len(numbers) :]))
    else:
        raise SystemExit(__doc__)
