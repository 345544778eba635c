"""What runs on one problem stand on: network, space, prices, budget, images."""

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from problems import find_case
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from _cifar import cifar_arguments

from automc import files
from automc.agents import Problem
from automc.campaigns import read_subject
from automc.compression import Methods
from automc.costs import Budget, CostModel, Projection
from automc.errors import ConfigError
from automc.evaluation import Evaluator, Fidelity
from automc.latency_tables import Accelerator, Hardware, open_table, open_target
from automc.recipes import weights_digest
from automc.search_spaces import build_space
from automc.sensitivities import Effort, Sensitivities, measure
from automc.tasks import Batch, Inputs, Split, Task, load_task
from automc.tasks.loops import has_bfloat16


class OtherImages(Task):
    """A task whose seed chooses training images: every seed calibrates with others."""

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed
        self.metric, self.higher_is_better = task.metric, task.higher_is_better  # type: ignore[misc]

    def model(self) -> nn.Module:
        return self._task.model()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        return self._task.batches(split, n, self._seed + seed)

    def score(self, outputs: Any, targets: Any) -> float:
        return self._task.score(outputs, targets)

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        return self._task.loss(outputs, targets)

    def augment(self, inputs: Inputs, generator: Any) -> Inputs:
        return self._task.augment(inputs, generator)


@dataclass(frozen=True)
class Measured:
    """Sensitivities and what they cost.

    Attributes:
        sensitivities: the value.
        seconds: that measuring them took.
        evaluations: as many normal evaluations take as long.
    """

    sensitivities: Sensitivities
    seconds: float
    evaluations: float


class Ground:
    """What all runs on one problem stand on; ``folder`` has what they leave behind.

    Args:
        name: the problem's.
        out: the folder of all results.

    Raises:
        ConfigError: there is no such problem, it needs a latency table and has none, or what is recorded in the folder
            was recorded under other conditions.
    """

    def __init__(self, name: str, out: Path) -> None:
        self.name, self.case, self.folder = name, find_case(name), out / name
        case = self.case
        self.task = load_task("cifar10", cifar_arguments(case.network)) if case.network else load_task("digits")
        self.subject = read_subject(self.task, open_target(case.device, 1, case.batch))
        device = self.subject.device
        self.space = build_space(self.subject.graph, case.space, device.channel_multiple, device.precisions)

    @property
    def table_file(self) -> Path:
        """Where its latency table lies, if it needs one."""
        return self.folder / "table.yaml"

    @cached_property
    def costs(self) -> CostModel:
        """Prices its policies."""
        table: Hardware | None = None
        if isinstance(self.subject.target, Accelerator):
            table = self.subject.target
        elif self.case.measured:
            if not self.table_file.is_file():
                raise ConfigError(
                    f"{self.name}: no latency table {self.table_file}; measure it on the idle machine: "
                    f"python benchmarks/agents/tables.py {self.name} --out {self.folder.parent}"
                )
            table = open_table(self.table_file, self.subject.device)
        return CostModel(self.subject.graph, self.space, table)

    @cached_property
    def projection(self) -> Projection:
        """Makes policies keep its budget."""
        budget = self.case.budget
        if budget is None:
            pair = (self.case.uniform, self.case.uniform)
            alike = np.array([axis.options.index(pair) for axis in self.space.axes])
            budget = f"latency<={self.costs.prices(alike[None])['latency'][0]:.9f}us"
        return Projection(self.costs, [Budget.parse(budget)])

    def check(self) -> None:
        """Writes down under what conditions runs are recorded; raises ConfigError where it was done under others."""
        file, now = self.folder / "problem.json", self._conditions()
        files.ensure_writable(self.folder)
        if not file.exists():
            files.write_text(file, json.dumps(now, indent=1) + "\n")
            return
        before = json.loads(file.read_text())
        other = [key for key in now if before.get(key) != now[key]]
        if other:
            raise ConfigError(
                f"{file}: recorded with {other[0]} {before.get(other[0])}, now {now[other[0]]}; give another --out"
            )

    def _conditions(self) -> dict[str, Any]:
        axes = json.dumps([[axis.name, list(axis.options)] for axis in self.space.axes])
        full = self.costs.cost(self.space.decode(self.space.full))
        conditions = {
            "limits": self.projection.limits,
            "original": {key: value for key, value in dataclasses.asdict(full).items() if value is not None},
            "fidelity": self.case.fidelity.model_dump(mode="json"),
            "methods": self.case.methods.model_dump(mode="json"),
            "bfloat16": has_bfloat16(),
            "axes": len(self.space.axes),
            "space": hashlib.sha256(axes.encode()).hexdigest(),
            "weights": weights_digest(self.subject.model),
            "device": self.subject.device.model_dump(mode="json"),
            "table": files.digest(self.table_file) if self.case.measured else None,
        }
        found: dict[str, Any] = json.loads(json.dumps(conditions))
        return found

    @cache  # noqa: B019 - it lives as long as the process
    def evaluator(self, seed: int) -> Evaluator:
        """Returns what scores policies in runs of a seed, which draws the images for calibration."""
        return self.evaluator_at(seed, self.case.fidelity)

    def evaluator_at(self, seed: int, fidelity: Fidelity) -> Evaluator:
        """Returns what scores policies with the images of a seed at another fidelity than the problem's."""
        return self._evaluator(seed, fidelity, self.case.methods)

    @cache  # noqa: B019
    def final_evaluator(self, seed: int, methods: Methods | None = None) -> Evaluator:
        """Returns what builds the best policies in the end, by the problem's own methods or by others."""
        return self._evaluator(seed, self.case.final, methods or self.case.methods)

    def _evaluator(self, seed: int, fidelity: Fidelity, methods: Methods) -> Evaluator:
        return Evaluator(OtherImages(self.task, seed), self.subject.model, self.subject.graph, fidelity, methods, seed)

    @cache  # noqa: B019
    def problem(self, seed: int) -> Problem:
        """Returns what agents are given."""
        original = self.evaluator(seed).score(self.subject.model)
        return Problem(self.space, self.projection, self.task.higher_is_better, original)

    @cache  # noqa: B019
    def sensitivities(self, seed: int) -> Measured:
        """Returns sensitivities, measured once for each seed and kept in a file."""
        file = self.folder / f"sensitivities-seed{seed}.json"
        if not file.exists():
            evaluator, problem = self.evaluator(seed), self.problem(seed)
            start = time.perf_counter()
            effort = Effort()
            fidelity = effort.fidelity(evaluator.precision)
            found = measure(self.evaluator_at(seed, fidelity), self.space, effort.options)
            seconds = time.perf_counter() - start
            each = []
            for number in range(3):
                policy = problem.sample(np.random.default_rng([seed, number]))
                start = time.perf_counter()
                evaluator.score(evaluator.build(policy))  # not remembered: whoever proposes it pays for it
                each.append(time.perf_counter() - start)
            data = {
                "seconds": round(seconds, 3),
                "evaluations": round(seconds / float(np.median(each)), 2),
                "harms": [harms.tolist() for harms in found.harms],
                "measured": [known.tolist() for known in found.measured],
            }
            files.write_text(file, json.dumps(data) + "\n")
        data = json.loads(file.read_text())
        harms, known = ([np.array(row) for row in data[key]] for key in ("harms", "measured"))
        value = Sensitivities(self.space, tuple(harms), tuple(known))
        return Measured(value, data["seconds"], data["evaluations"])
