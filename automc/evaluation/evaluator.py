"""The evaluator: what a policy is worth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from automc.compression import Calibration, Compressed, Compressor, Methods
from automc.compression.calibration import calibration_examples
from automc.evaluation.fidelity import Fidelity
from automc.evaluation.forward import Forward, Kept
from automc.evaluation.outputs import change, standard_error
from automc.evaluation.paired import ahead
from automc.graph import ModelGraph
from automc.search_spaces import Policy
from automc.tasks import Task
from automc.tasks.loops import as_float32, finite_score, predict
from automc.tasks.training import FINE_TUNING_RATE, Training, train


@dataclass(frozen=True)
class Evaluation:
    """One evaluated policy.

    Attributes:
        policy: the policy.
        score: the task's score on search images; never the test set's.
        change: of its outputs, squared, as a share of the original's variance on the same images.
        spread: standard error of the score over images, see `standard_error`.
        seconds: how long building, recovery and scoring took.
    """

    policy: Policy
    score: float
    change: float
    spread: float
    seconds: float


class Evaluator:
    """Builds policies of one model and scores them. The same policy always gets the same score.

    It may be the lowest rung of several, to which the best are promoted: evaluators of the same model that look at more
    or do more.

    Args:
        task: gives data and score.
        model: the original network.
        graph: its graph.
        fidelity: how much to look at.
        methods: how a policy is applied.
        seed: seeds the choice of calibration images and positions, and fine-tuning.
        rungs: fidelities of the rungs above this one, the lowest first.

    Attributes:
        fidelities: of all rungs, its own first.

    Raises:
        TaskError: bfloat16 was asked for and the network does not run in it.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        graph: ModelGraph,
        fidelity: Fidelity | None = None,
        methods: Methods | None = None,
        seed: int = 0,
        rungs: Sequence[Fidelity] = (),
    ) -> None:
        self.task, self.model, self.graph = task, model, graph
        self.fidelity, self.methods, self.seed = fidelity or Fidelity(), methods or Methods(), seed
        self.fidelities = (self.fidelity, *rungs)
        self._above: dict[int, Evaluator] = {}
        self._forward = Forward(task, model, self.fidelity.precision)
        self.precision = self._forward.precision
        self._search = Kept(task, "search", self.fidelity.search_images, self._forward)
        applied = self.methods if self.fidelity.recovery else self.methods.model_copy(update={"recovery": ()})
        self.compressor = Compressor(model, graph, self._calibration(seed), applied)
        self._known: dict[Policy, Evaluation] = {}

    def at(self, rung: int) -> Evaluator:
        """Returns the evaluator of a rung, made when it is first needed; rung 0 is this one."""
        if rung == 0:
            return self
        if rung not in self._above:
            fidelity = self.fidelities[rung]
            if fidelity.precision == "auto":  # what was found out about precision holds for all
                fidelity = fidelity.model_copy(update={"precision": self.precision})
            self._above[rung] = Evaluator(self.task, self.model, self.graph, fidelity, self.methods, self.seed)
        return self._above[rung]

    @property
    def last(self) -> Evaluator:
        """The evaluator of the highest rung."""
        return self.at(len(self.fidelities) - 1)

    def evaluate(self, policy: Policy) -> Evaluation:
        """Scores a policy on search images; a policy seen before is not evaluated again.

        Raises:
            TaskError: the task's score is not a finite number.
            Exception: whatever else building, recovery or the task's own code raise; nothing is remembered then.
        """
        if policy not in self._known:
            start = time.perf_counter()
            outputs, targets = self._predict(self.build(policy))
            value = finite_score(self.task, outputs, targets)
            changed = change(self._original, outputs)
            spread = standard_error(value, targets)
            self._known[policy] = Evaluation(policy, value, changed, spread, time.perf_counter() - start)
        return self._known[policy]

    def build(self, policy: Policy) -> nn.Module:
        """Returns the network of a policy, as this evaluator scores it."""
        return self.compress(policy).model

    def compress(self, policy: Policy) -> Compressed:
        """Returns a policy's network, pruned, recovered, fine-tuned and quantized as far as its fidelity says.

        Raises:
            ConfigError: the policy asks for what this network does not have.
            TaskError: what is to be fine-tuned cannot be.
        """
        pruned = self.compressor.prune(policy)
        if self.fidelity.epochs:
            train(
                pruned.model,
                self.task,
                Training(epochs=self.fidelity.epochs, rate=FINE_TUNING_RATE),
                seed=self.seed,
                description="Fine-tuning",
                teacher=self.model,
                bfloat16=self.precision == "bfloat16",
                hidden=True,
            )
        return self.compressor.quantize(pruned)

    def score(self, model: nn.Module) -> float:
        """Scores any network on the search images."""
        outputs, targets = self._predict(model)
        return finite_score(self.task, outputs, targets)

    def outputs(self, model: nn.Module) -> Any:
        """Returns what any network gives for the search images, in float32."""
        return self._predict(model)[0]

    def ahead(self, one: nn.Module, other: nn.Module) -> float | None:
        """Returns how often one network scores better than another on resampled search images: see `paired.ahead`."""
        (outputs, targets), others = self._predict(one), self.outputs(other)
        return ahead(self.task, outputs, others, targets)

    @cached_property
    def _original(self) -> Any:
        return self.outputs(self.model)

    @torch.no_grad()
    def _predict(self, model: nn.Module) -> tuple[Any, Any]:
        with self._forward.context():
            outputs, targets = predict(model, self._search)
        return as_float32(outputs), targets

    def _calibration(self, seed: int) -> Calibration:
        inputs, targets = calibration_examples(self.task, self.fidelity.calibration_images)
        return Calibration(self._forward.prepare(inputs), targets, self.task.loss, self._forward.context, seed)
