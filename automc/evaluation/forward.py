"""How networks are run for their scores: precision, memory layout, and batches that are prepared once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc.errors import TaskError
from automc.tasks import Batch, Inputs, Split, Task, call, example
from automc.tasks.loops import as_float32, has_bfloat16

Precision: TypeAlias = Literal["float32", "bfloat16"]

_TRIED = 16
_TOLERANCE = 0.02


class Forward:
    """Runs one network and its compressed copies, always in the same way.

    Tried once on the original: inputs have their channels last in memory unless it cannot read them so, and are
    computed in bfloat16 where that is asked for, or where it is left to us, the processor has it and the outputs stay
    nearly the same.

    Args:
        task: gives examples.
        model: the original; it is not changed.
        precision: what is asked for; ``auto`` leaves it to us.

    Attributes:
        precision: the precision of forward passes.

    Raises:
        TaskError: bfloat16 was asked for and the network does not run in it.
    """

    def __init__(self, task: Task, model: nn.Module, precision: Literal["auto"] | Precision = "auto") -> None:
        inputs = example(task, _TRIED)
        model = copy.deepcopy(model).eval()
        self.precision: Precision = "float32"
        self._channels_last = False
        expected = self._outputs(model, inputs)
        self._channels_last = True
        try:
            self._outputs(model, inputs)
        except RuntimeError:  # such as a `view` across dimensions that are no longer side by side
            self._channels_last = False
        if precision == "float32" or (precision == "auto" and not has_bfloat16()):
            return
        self.precision = "bfloat16"
        try:
            near = _near(self._outputs(model, inputs), expected)
        except Exception as error:  # it may raise anything where a layer was not made for bfloat16
            if precision == "bfloat16":
                raise TaskError(
                    f"fidelity.precision: the model does not run in bfloat16 ({str(error).splitlines()[0][:160]}); "
                    "choose float32"
                ) from error
            near = False
        if precision == "auto" and not near:
            self.precision = "float32"

    def prepare(self, inputs: Inputs) -> Inputs:
        """Returns a copy of the inputs in the layout in which the network reads them fastest."""

        def copied(tensor: Tensor) -> Tensor:
            last = self._channels_last and tensor.ndim == 4
            return tensor.clone(memory_format=torch.channels_last if last else torch.preserve_format)

        return pytree.tree_map_only(Tensor, copied, inputs)

    def context(self) -> AbstractContextManager[Any]:
        """Returns the context in which forward passes run."""
        # no cache: recovery changes weights while the network runs
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16", cache_enabled=False)

    @torch.no_grad()
    def _outputs(self, model: nn.Module, inputs: Inputs) -> Any:
        with self.context():
            return call(model, self.prepare(inputs))


class Kept:
    """The batches of a split, prepared once and kept in memory where they are not too large.

    Args:
        task: gives the batches.
        split: which split.
        n: how many examples, at most.
        forward: prepares the inputs.
        limit: bytes that may be kept; larger splits are read anew each time.
    """

    def __init__(self, task: Task, split: Split, n: int | None, forward: Forward, limit: int = 2**29) -> None:
        self._task, self._split, self._n, self._forward, self._limit = task, split, n, forward, limit
        self._kept: list[Batch] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Yields (inputs, targets) batches."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Batch] = []
        size = 0
        for inputs, targets in self._task.batches(self._split, self._n):
            batch = self._forward.prepare(inputs), targets
            size += sum(leaf.nbytes for leaf in pytree.tree_leaves(batch) if torch.is_tensor(leaf))
            if size <= self._limit:
                kept.append(batch)
            else:
                kept.clear()
            yield batch
        if size <= self._limit:
            self._kept = kept


def _near(outputs: Any, expected: Any) -> bool:
    """Says whether no output tensor is further off than the tolerance, relative to its size; NaN is."""
    pairs = zip(pytree.tree_leaves(as_float32(outputs)), pytree.tree_leaves(expected), strict=True)
    floats = [(a, b) for a, b in pairs if torch.is_tensor(b) and b.is_floating_point()]
    return all(bool((a - b).norm() <= _TOLERANCE * b.norm()) for a, b in floats)
