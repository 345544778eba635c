"""The training and prediction loops that every task shares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from automc import progress
from automc.tasks._base import Batch, Split, Task, call, concatenate


@torch.no_grad()
def predict(model: nn.Module, batches: Iterable[Batch]) -> tuple[Any, Any]:
    """Returns the model's outputs and the targets of all batches, concatenated."""
    model.eval()
    outputs, targets = zip(*((call(model, inputs), target) for inputs, target in batches), strict=True)
    return concatenate(outputs), concatenate(targets)


def score(model: nn.Module, task: Task, split: Split, n: int | None = None) -> float:
    """Returns the task's score of the model on the first ``n`` examples of a split."""
    return task.score(*predict(model, task.batches(split, n)))


def train(model: nn.Module, task: Task, epochs: int, rate: float, seed: int, description: str) -> None:
    """Trains the model in place on the task's ``train`` split: SGD with Nesterov momentum, one-cycle schedule.

    Args:
        model: the network; it is left in evaluation mode.
        task: gives batches and loss.
        epochs: passes over the training split.
        rate: highest learning rate.
        seed: seeds the order of the batches and their augmentation.
        description: what the progress bar says.
    """
    steps = sum(1 for _ in task.batches("train", seed=seed))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=epochs * steps)
    model.train()
    for epoch in progress.track(range(epochs), description):
        generator = torch.Generator().manual_seed(seed + epoch)
        for inputs, targets in task.batches("train", seed=seed + epoch):
            inputs = task.augment(inputs, generator)
            optimizer.zero_grad(set_to_none=True)
            task.loss(call(model, inputs), targets).backward()
            optimizer.step()
            schedule.step()
    model.eval()
