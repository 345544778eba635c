"""What compression may look at: a few training examples, and how the network is run on them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from automc import progress
from automc.tasks import Batch, Inputs, Task, examples


@dataclass(frozen=True)
class Calibration:
    """Examples of the ``train`` split.

    Attributes:
        inputs: the inputs of all examples, in one batch.
        targets: their targets, likewise; None where nobody gave any.
        loss: the task's loss of outputs and targets, a scalar.
        context: returns the context in which forward passes run, such as autocast's.
        seed: seeds whatever is sampled from them.
    """

    inputs: Inputs
    targets: Any = None
    loss: Callable[[Any, Any], Tensor] | None = None
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    seed: int = 0

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields (inputs, targets) of at most ``size`` examples, in order."""
        for start in range(0, count(self.inputs), size):
            yield take((self.inputs, self.targets), start, size)


def count(inputs: Inputs) -> int:
    """Returns how many examples there are."""
    return len(pytree.tree_leaves(inputs)[0])


def take(batch: Any, start: int, size: int) -> Any:
    """Returns some of the examples of a batch: views of its tensors."""
    return pytree.tree_map_only(Tensor, lambda tensor: tensor[start : start + size], batch)


def calibration_examples(task: Task, n: int) -> Batch:
    """Returns the first ``n`` examples of ``train``, in one batch; says so where there are fewer."""
    inputs, targets = examples(task, n)
    if (found := count(inputs)) < n:
        say_once(f"Calibration: the task gives {found} training examples, {n} were asked for; going on with {found}")
    return inputs, targets


@functools.cache
def say_once(message: str) -> None:
    """Prints a line on standard error, once in a process."""
    progress.say(message)
