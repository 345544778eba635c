"""The evaluator: what a policy is worth, before any fine-tuning."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from automc.compression import Calibration, Compressor, Methods
from automc.compression.calibration import calibration_examples
from automc.evaluation.change import change, standard_error
from automc.evaluation.forward import Forward, Kept
from automc.graph import ModelGraph
from automc.search_spaces import Policy
from automc.tasks import Task
from automc.tasks.loops import as_float32, finite_score, predict


class Fidelity(BaseModel):
    """How much an evaluation looks at.

    Attributes:
        search_images: examples of the ``search`` split that are scored; None takes all.
        calibration_images: examples of the ``train`` split for recovery.
        precision: of forward passes; ``auto`` takes bfloat16 where the processor has it and the original's outputs
            stay nearly the same, else float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_images: int | None = Field(default=None, ge=1)
    calibration_images: int = Field(default=512, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


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

    Args:
        task: gives data and score.
        model: the original network.
        graph: its graph.
        fidelity: how much to look at.
        methods: how a policy is applied.
        seed: seeds the choice of calibration images and positions.

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
    ) -> None:
        self.task, self.model, self.graph = task, model, graph
        self.fidelity = fidelity or Fidelity()
        self._forward = Forward(task, model, self.fidelity.precision)
        self.precision = self._forward.precision
        self._search = Kept(task, "search", self.fidelity.search_images, self._forward)
        self.compressor = Compressor(model, graph, self._calibration(seed), methods)
        self._known: dict[Policy, Evaluation] = {}

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
        """Returns the compressed and recovered network of a policy."""
        return self.compressor.build(policy).model

    def score(self, model: nn.Module) -> float:
        """Scores any network on the search images."""
        outputs, targets = self._predict(model)
        return finite_score(self.task, outputs, targets)

    def outputs(self, model: nn.Module) -> Any:
        """Returns what any network gives for the search images, in float32."""
        return self._predict(model)[0]

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
