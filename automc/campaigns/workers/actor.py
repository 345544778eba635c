"""What runs in a worker's process on a Ray cluster."""

from __future__ import annotations

import errno
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from automc.campaigns.workers._base import Job, Outcome
from automc.campaigns.workers.local import evaluated, worker_name
from automc.errors import TaskError, lacking, one_line, users_code
from automc.evaluation import Evaluator
from automc.versions import versions

if TYPE_CHECKING:
    from automc.campaigns.workers.shared import Shared

MUST_AGREE = ("automc", "torch")
"""What scores depend on most; where a worker has another version than the driver, it is refused."""


@dataclass(frozen=True)
class Place:
    """Where a worker's process is.

    Attributes:
        worker: its host and number.
        host: its machine.
        node: the machine's name within the cluster.
        versions: of what scores depend on.
    """

    worker: str
    host: str
    node: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Prepared:
    """How it stands with a worker.

    Attributes:
        score: of the original; None where the worker cannot evaluate.
        problem: why it cannot.
    """

    score: float | None = None
    problem: str | None = None


class Worker:
    """Holds task, model, graph, search images and calibration activations, and evaluates policies one by one.

    Args:
        threads: for its computations.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._evaluator: Evaluator | None = None

    def where(self) -> Place:
        """Says where it is, before anything is loaded."""
        import ray

        return Place(worker_name(), platform.node(), ray.get_runtime_context().get_node_id(), versions())

    def prepare(self, shared: Shared) -> Prepared:
        """Loads everything, and scores the original; what goes wrong is in the answer."""
        try:
            self._evaluator = shared.evaluator()
            with users_code("the task cannot score its own network on search images"):
                return Prepared(self._evaluator.score(self._evaluator.model))
        except Exception as error:
            return Prepared(problem=one_line(error))

    def evaluate(self, job: Job) -> Outcome:
        """Evaluates a policy.

        Raises:
            OSError: the machine is out of disk space.
            MemoryError: or out of memory.
        """
        if self._evaluator is None:
            raise TaskError("a worker was asked to evaluate before it was prepared")
        try:
            return evaluated(self._evaluator, job)
        except Exception as error:  # of any class, which the driver may not have
            text = f"worker {worker_name()}: {one_line(error)}"
            if lacking(error) == "memory":
                raise MemoryError(text) from None
            raise OSError(errno.ENOSPC, text) from None
