"""What workers need, handed to other processes through Ray's object store."""

from __future__ import annotations

from pathlib import Path

import ray

from automc.campaigns.workers._base import Work
from automc.evaluation import Evaluator
from automc.tasks import load_task


class Shared:
    """An evaluator that other processes can make: the driver's, with its own task.

    Model and graph are one object in the object store of each machine, however many workers it has.

    Args:
        work: the driver's; its task's folder must be there on every machine.
    """

    def __init__(self, work: Work) -> None:
        evaluator = work.evaluator
        self._task = work.task, dict(work.task_args), str(Path(work.folder).resolve())
        # what the driver found out about precision holds for all
        self._fidelity = evaluator.fidelity.model_copy(update={"precision": evaluator.precision})
        self._methods, self._seed, self._rungs = evaluator.methods, work.seed, evaluator.fidelities[1:]
        self._parts = ray.put((evaluator.model, evaluator.graph))

    def evaluator(self) -> Evaluator:
        """Makes the evaluator, in any process of the cluster.

        Raises:
            TaskError: the task cannot be loaded here.
        """
        name, arguments, folder = self._task
        task = load_task(name, arguments, Path(folder))  # first, since the model may be of a class in the task's file
        model, graph = ray.get(self._parts)
        return Evaluator(task, model, graph, self._fidelity, self._methods, self._seed, self._rungs)
