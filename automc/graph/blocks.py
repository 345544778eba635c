"""Residual blocks that may be dropped whole."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from automc.graph.ops import record
from automc.graph.probe import TOLERANCE, largest_difference
from automc.tasks import Inputs


@dataclass(frozen=True)
class Block:
    """A module that adds something to its input: without it, the input goes on as it is.

    Attributes:
        name: its module name, and the unit's name in a policy.
    """

    name: str


@torch.no_grad()
def find_blocks(model: nn.Module, inputs: Inputs) -> list[Block]:
    """Returns the residual blocks of a network, innermost first found, in execution order.

    A module counts as one when it takes and returns one tensor of the same shape, passes its input through
    unchanged once all of its weights are zero, and the network runs without it.
    """
    seen = _single_tensor_calls(model, inputs)
    found: list[str] = []
    # inner modules come after their parents in named_modules: going backwards finds the innermost first
    for name in reversed(seen):
        if any(other.startswith(name + ".") for other in found):
            continue
        if _passes_through(model.get_submodule(name), seen[name]) and _runs_without(model, name, inputs):
            found.append(name)
    return [Block(name) for name in seen if name in found]


def drop_blocks(model: nn.Module, names: list[str]) -> None:
    """Replaces blocks by the identity, in place."""
    for name in names:
        model.set_submodule(name, nn.Identity())


def _single_tensor_calls(model: nn.Module, inputs: Inputs) -> dict[str, torch.Tensor]:
    """Returns the inputs of the modules that have weights and keep one tensor's shape, by name, in order."""
    seen: dict[str, torch.Tensor] = {}
    calls: dict[str, int] = {}
    handles = []

    def note(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls[name] = calls.get(name, 0) + 1
        if kwargs or len(args) != 1 or not (torch.is_tensor(args[0]) and torch.is_tensor(output)):
            return
        if args[0].shape == output.shape and args[0].is_floating_point():
            seen[name] = args[0].clone()

    for name, module in model.named_modules():
        if name and any(True for _ in module.parameters()):
            handles.append(
                module.register_forward_hook(
                    lambda _, args, kwargs, output, name=name: note(name, args, kwargs, output), with_kwargs=True
                )
            )
    try:
        record(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    order = [name for name, _ in model.named_modules()]
    return {name: seen[name] for name in order if name in seen and calls[name] == 1}


def _passes_through(module: nn.Module, inputs: torch.Tensor) -> bool:
    without = copy.deepcopy(module)
    for parameter in without.parameters():
        parameter.zero_()
    # the example alone is not enough: of zeros, as after a ReLU that nothing passes, every layer makes zeros
    anything = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)).to(inputs)
    return all(_same(without, given) for given in (inputs, anything))


def _same(module: nn.Module, inputs: torch.Tensor) -> bool:
    try:
        output = module(inputs.clone())
    except Exception:  # it may raise anything on what it was not made for: then it passes nothing through
        return False
    return bool(output.shape == inputs.shape and largest_difference(output, inputs) <= TOLERANCE)


def _runs_without(model: nn.Module, name: str, inputs: Inputs) -> bool:
    shorter = copy.deepcopy(model)
    drop_blocks(shorter, [name])
    try:
        record(shorter, inputs)
    except Exception:  # whatever it is that the network misses, the block has to stay
        return False
    return True
