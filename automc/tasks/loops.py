"""The prediction loop that every task shares; `automc.tasks.training` has the one for training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from automc.tasks._base import Split, Task, call, concatenate


@torch.no_grad()
def predict(model: nn.Module, task: Task, split: Split, n: int | None = None) -> tuple[Any, Any]:
    """Returns the model's outputs and the targets of the first ``n`` examples of a split, concatenated."""
    model.eval()
    outputs, targets = zip(*((call(model, inputs), target) for inputs, target in task.batches(split, n)), strict=True)
    return concatenate(outputs), concatenate(targets)


def score(model: nn.Module, task: Task, split: Split, n: int | None = None) -> float:
    """Returns the task's score of the model on the first ``n`` examples of a split."""
    return task.score(*predict(model, task, split, n))
