"""The evaluator: what a policy is worth, before any fine-tuning."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from automc.compression import Compressed, LeastSquares, compress, magnitudes
from automc.errors import TaskError
from automc.graph import ModelGraph
from automc.search_spaces import Policy
from automc.tasks import Task, example
from automc.tasks.loops import score


class Fidelity(BaseModel):
    """How much an evaluation looks at.

    Attributes:
        search_images: examples of the ``search`` split that are scored; None takes all.
        calibration_images: examples of the ``train`` split for recovery.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_images: int | None = Field(default=None, ge=1)
    calibration_images: int = Field(default=512, ge=1)


@dataclass(frozen=True)
class Evaluation:
    """One evaluated policy.

    Attributes:
        policy: the policy.
        score: the task's score on search images; never the test set's.
        seconds: how long building, recovery and scoring took.
    """

    policy: Policy
    score: float
    seconds: float


class Evaluator:
    """Builds policies of one model and scores them. The same policy always gets the same score.

    Args:
        task: gives data and score.
        model: the original network.
        graph: its graph.
        fidelity: how much to look at.
        seed: seeds the choice of calibration images and positions.
    """

    def __init__(
        self, task: Task, model: nn.Module, graph: ModelGraph, fidelity: Fidelity | None = None, seed: int = 0
    ) -> None:
        self.task, self.model, self.graph = task, model, graph
        self.fidelity = fidelity or Fidelity()
        self._scores = magnitudes(model, graph)
        calibration = example(task, self.fidelity.calibration_images)
        self._recovery = LeastSquares(model, graph, calibration, seed)
        self._known: dict[Policy, Evaluation] = {}

    def build(self, policy: Policy, trained: Compressed | None = None) -> Compressed:
        """Returns the network of a policy as it is scored and exported.

        Args:
            policy: the policy.
            trained: what `recover` made of it, fine-tuned since; by default as `recover` makes it.
        """
        return trained or self.recover(policy)

    def recover(self, policy: Policy) -> Compressed:
        """Returns the float network of a policy, compressed and recovered: what fine-tuning starts from."""
        compressed = compress(self.model, self.graph, policy, self._scores)
        if compressed.kept or compressed.dropped:
            self._recovery.refit(compressed)
        return compressed

    def evaluate(self, policy: Policy) -> Evaluation:
        """Scores a policy on search images; a policy seen before is not evaluated again.

        Raises:
            TaskError: the task's score is not a finite number.
        """
        if policy not in self._known:
            start = time.perf_counter()
            value = self.score(self.build(policy).model)
            self._known[policy] = Evaluation(policy, value, time.perf_counter() - start)
        return self._known[policy]

    def remember(self, evaluation: Evaluation) -> None:
        """Takes an evaluation of an earlier run as done."""
        self._known[evaluation.policy] = evaluation

    def score(self, model: nn.Module) -> float:
        """Scores any network on the search images."""
        with torch.no_grad():
            value = score(model, self.task, "search", self.fidelity.search_images)
        if not math.isfinite(value):
            raise TaskError(f"the task's score of a policy is {value}; a score must be a finite number")
        return value
