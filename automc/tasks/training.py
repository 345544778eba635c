"""The training loop: tasks train their networks with it, and compressed networks are fine-tuned with it."""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc import files, progress
from automc.docstrings import Described
from automc.errors import TaskError
from automc.tasks._base import Inputs, Task, call, example
from automc.tasks.loops import as_float32, has_bfloat16

WARM_UP = 0.2
"""Share of a training in which the rate rises from zero."""

FINE_TUNING_RATE = 0.02
"""The highest learning rate where a trained network is trained on."""


class Training(Described):
    """How a network is trained: SGD with Nesterov momentum, a short linear warm-up, then a cosine down to zero.

    Attributes:
        epochs: passes over the training split; a fraction ends within one, after the nearest number of batches.
        minutes: stop after this time, checkpoints of earlier sessions included; None sets no limit.
        rate: highest learning rate.
        weight_decay: of all parameters.
        distillation: share of the loss that is the distance to a teacher's outputs, where there is a teacher.
        temperature: softens logits in that distance (Hinton et al., 2015).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: float = Field(ge=0, allow_inf_nan=False)
    minutes: float | None = Field(default=None, gt=0)
    rate: float = Field(gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    distillation: float = Field(default=0.9, ge=0, le=1)
    temperature: float = Field(default=4.0, gt=0)

    def rate_at(self, share: float) -> float:
        """Returns the learning rate after that share of the training, in [0, 1]."""
        if share < WARM_UP:
            return self.rate * share / WARM_UP
        return self.rate * (1 + math.cos(math.pi * min((share - WARM_UP) / (1 - WARM_UP), 1.0))) / 2


@dataclass(frozen=True)
class Trained:
    """What a training took, all its sessions together.

    Attributes:
        epochs: passes over the training split; not whole where the time ran out, or no whole number was asked for.
        seconds: time in the loop.
    """

    epochs: float
    seconds: float


@dataclass
class _State:
    """How far a training is: full epochs, batches of the one after, seconds, and whether it has ended."""

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    ended: bool = False

    def trained(self, batches: int) -> Trained:
        """Returns what it took so far, where an epoch has that many batches."""
        return Trained(epochs=self.epoch + self.batch / batches, seconds=self.seconds)


def train(
    model: nn.Module,
    task: Task,
    training: Training,
    *,
    seed: int,
    description: str,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    bfloat16: bool = True,
    on_epoch: Callable[[nn.Module, Trained], None] | None = None,
    hidden: bool = False,
) -> Trained:
    """Trains the model in place on the task's ``train`` split; it is left on the CPU, in evaluation mode.

    With a limit in minutes the rate follows whichever is further, the batches or the time, so that it ends near zero
    however many epochs the time is enough for. As long as the batches are further, the result does not depend on time.

    Args:
        model: the network; what it weighs at the end of the last epoch is kept.
        task: gives batches, their random changes and the losses.
        training: the settings.
        seed: seeds, with the number of the epoch, the order of the batches and all else that is random.
        description: what the progress bar says.
        teacher: a network whose outputs the model's are also drawn to; it is not changed.
        checkpoint: a file to note each full epoch in. If it has some of this training already, that goes on from
            there, and ends as an undisturbed one would have.
        bfloat16: whether forward passes may be computed in it, where the processor does so by itself.
        on_epoch: is given, after each epoch that is now in the checkpoint, a copy of the network as it is, on the CPU
            in evaluation mode, and what the training took so far. Whatever it does, the training stays the same.
        hidden: whether no progress bar is shown.

    Raises:
        TaskError: there is nothing to train, nothing to train on, or the loss is no finite number.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TaskError(f"{description}: the model has no parameter that requires gradients; see requires_grad_()")
    batches = sum(1 for _ in task.batches("train", seed=seed))
    if not batches:
        raise TaskError(f"{description}: the task's train split has no batch")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if teacher is not None:
        teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
    layout = _layout([model] if teacher is None else [model, teacher], example(task), device)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=training.rate, momentum=0.9, nesterov=True, weight_decay=training.weight_decay
    )
    about = {name: getattr(training, name) for name in Training.model_fields} | {"seed": seed}
    state = _State() if checkpoint is None else _load(checkpoint, about, model, optimizer)
    total = max(round(training.epochs * batches), math.ceil(min(training.epochs, 1)))
    loop = _Loop(model, teacher, task, training, seed, device, layout, bfloat16, optimizer, batches, total)
    with progress.bar(description, total, state.epoch * batches + state.batch, hidden) as line:
        while state.epoch * batches + state.batch < total and not state.ended:
            # the same random numbers in each epoch, however many sessions there were, and none of the caller's
            with torch.random.fork_rng():
                torch.manual_seed(seed + state.epoch)
                loop.epoch(state, line, description)
            if checkpoint is not None:
                _save(checkpoint, about, model, optimizer, state)
            if on_epoch is not None:
                on_epoch(_at_rest(copy.deepcopy(model)), state.trained(batches))
    _at_rest(model)
    return state.trained(batches)


@dataclass(frozen=True)
class _Loop:
    """What all epochs of a training share."""

    model: nn.Module
    teacher: nn.Module | None
    task: Task
    training: Training
    seed: int
    device: torch.device
    layout: torch.memory_format
    bfloat16: bool
    optimizer: torch.optim.Optimizer
    batches: int
    total: int  # batches of all epochs

    def epoch(self, state: _State, line: progress.Bar, description: str) -> None:
        """Runs one epoch, or what of it is asked for or the time is enough for, and moves the state on."""
        number, limit = state.epoch, 60 * (self.training.minutes or math.inf)
        generator = torch.Generator().manual_seed(self.seed + number)
        description = f"{description}, epoch {number + 1} of {self.training.epochs:g}"
        began = time.monotonic() - state.seconds
        self.model.train()
        for inputs, targets in self.task.batches("train", seed=self.seed + number):
            state.seconds = time.monotonic() - began
            if state.seconds >= limit or number * self.batches + state.batch >= self.total:
                state.ended = True
                return
            done = (number + (state.batch + 0.5) / self.batches) / self.training.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.training.rate_at(max(min(done, 1.0), state.seconds / limit))
            loss = self._loss(self._move(self.task.augment(inputs, generator)), self._move(targets))
            if not math.isfinite(value := loss.item()):
                raise TaskError(
                    f"{description}: the loss of batch {state.batch + 1} is {value}; lower the learning rate (it is "
                    f"{self.training.rate:g}) or look at the task's loss and data"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            state.batch += 1
            line.advance(description)
        state.epoch, state.batch, state.seconds = number + 1, 0, time.monotonic() - began

    def _loss(self, inputs: Inputs, targets: Any) -> Tensor:
        with self._fast(self.model):
            outputs = call(self.model, inputs)
        outputs = as_float32(outputs)
        loss, share = self.task.loss(outputs, targets), self.training.distillation
        if self.teacher is None or not share:
            return loss
        with torch.no_grad(), self._fast(self.teacher):
            expected = as_float32(call(self.teacher, inputs))
        return (1 - share) * loss + share * self.task.distill(outputs, expected, self.training.temperature)

    def _fast(self, model: nn.Module) -> AbstractContextManager[Any]:
        cuda = self.device.type == "cuda"
        able = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else has_bfloat16()
        able = able and self.bfloat16 and all(parameter.dtype == torch.float32 for parameter in model.parameters())
        return torch.autocast(self.device.type, torch.bfloat16, enabled=able)

    def _move(self, data: Any) -> Any:
        return _moved(data, self.device, self.layout)


def _layout(models: list[nn.Module], inputs: Inputs, device: torch.device) -> torch.memory_format:
    """Moves models to the device in the memory layout that is fastest among those in which they run; returns it."""
    for layout in (torch.channels_last, torch.contiguous_format):
        try:
            for model in models:
                _place(model, device, layout)
                with torch.no_grad():
                    call(model.eval(), _moved(inputs, device, layout))
            break
        except RuntimeError:  # such as a `view` across dimensions that are no longer side by side
            if layout == torch.contiguous_format:
                raise
    return layout


def _at_rest(model: nn.Module) -> nn.Module:
    return _place(model, torch.device("cpu"), torch.contiguous_format).eval()


def _place(model: nn.Module, device: torch.device, layout: torch.memory_format) -> nn.Module:
    # torch documents this argument, and has it in no stub
    return model.to(device, memory_format=layout)  # type: ignore[call-overload]


def _moved(data: Any, device: torch.device, layout: torch.memory_format) -> Any:
    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device, memory_format=layout) if tensor.ndim == 4 else tensor.to(device)

    return pytree.tree_map_only(Tensor, moved, data)


def _save(path: Path, about: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer, state: _State) -> None:
    content = {"about": about, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": vars(state)}
    with files.replacing(path) as temporary:
        torch.save(content, temporary)


def _load(path: Path, about: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> _State:
    """Restores model and optimizer from a checkpoint of this very training; says so and leaves both alone otherwise."""
    if not path.exists():
        return _State()
    before = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["about"] == about:
            model.load_state_dict(content["model"])
            optimizer.load_state_dict(content["optimizer"])
            return _State(**content["state"])
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError):
        model.load_state_dict(before[0])
        optimizer.load_state_dict(before[1])
    progress.say(f"{path}: damaged, or of another training; beginning anew")
    return _State()
