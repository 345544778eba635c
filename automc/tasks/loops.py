"""The prediction loop that every task shares, and bfloat16; `automc.tasks.training` has the loop for training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc.errors import TaskError
from automc.tasks._base import Batch, Split, Task, call, concatenate


@torch.no_grad()
def predict(model: nn.Module, batches: Iterable[Batch]) -> tuple[Any, Any]:
    """Returns the model's outputs and the targets of all batches, concatenated."""
    model.eval()
    outputs, targets = zip(*((call(model, inputs), target) for inputs, target in batches), strict=True)
    return concatenate(outputs), concatenate(targets)


def score(model: nn.Module, task: Task, split: Split, n: int | None = None) -> float:
    """Returns the task's score of the model on the first ``n`` examples of a split; raises as `finite_score` does."""
    return finite_score(task, *predict(model, task.batches(split, n)))


def finite_score(task: Task, outputs: Any, targets: Any) -> float:
    """Returns the task's score of outputs; raises TaskError where it is not a finite number."""
    value = float(task.score(outputs, targets))
    if not math.isfinite(value):
        raise TaskError(f"the task's score of a network is {value}; a score must be a finite number")
    return value


def has_bfloat16() -> bool:
    """Says whether this processor computes in bfloat16 itself; where it does not, float32 is faster."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def as_float32(outputs: Any) -> Any:
    """Returns outputs with tensors in bfloat16 converted to float32."""
    return pytree.tree_map_only(Tensor, lambda t: t.float() if t.dtype == torch.bfloat16 else t, outputs)
