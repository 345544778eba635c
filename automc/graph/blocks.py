"""Residual blocks that may be dropped whole."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc import progress
from automc.graph.ops import record
from automc.graph.probe import TOLERANCE, largest_difference
from automc.graph.watch import Expired, Watch
from automc.tasks import Inputs

_NORM_TOLERANCE = 1e-3  # a layer that normalises twice divides by its epsilon twice
_SHIFTS = ("bias", "beta", "shift", "offset")  # what a norm adds; its other vectors multiply
_COVERED = 0.75  # share of a block's weights from which on the blocks inside it are taken in its place


@dataclass(frozen=True)
class Block:
    """A module that adds something to its input: without it, the input goes on as it is.

    Attributes:
        name: its module name, and the unit's name in a policy.
        argument: the input that goes on, by its position or name among the arguments.
        returns: of how many values it returns the first; 0 where it returns a tensor and no tuple.
    """

    name: str
    argument: int | str = 0
    returns: int = 0


@dataclass(frozen=True)
class _Called:
    """How a module was called."""

    block: Block
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def given(self) -> Tensor:
        argument = self.block.argument
        found = self.args[argument] if isinstance(argument, int) else self.kwargs[argument]
        assert isinstance(found, Tensor)
        return found

    def run(self, module: nn.Module, given: Tensor) -> Tensor:
        """Returns what the module makes of another input in the place of the one that goes on."""
        args, kwargs = pytree.tree_map_only(Tensor, torch.clone, (list(self.args), dict(self.kwargs)))
        argument = self.block.argument
        (args if isinstance(argument, int) else kwargs)[argument] = given.clone()
        output = module(*args, **kwargs)
        result = output[0] if self.block.returns else output
        assert isinstance(result, Tensor)
        return result


class Passed(nn.Module):
    """Stands where a block was: takes its arguments and hands on the one that would go through it.

    Args:
        block: the block.
        module: its module; plain attributes, which a network may ask for, are kept.
    """

    def __init__(self, block: Block, module: nn.Module) -> None:
        super().__init__()
        for name, value in vars(module).items():
            if not name.startswith("_") and isinstance(value, bool | int | float | str):
                setattr(self, name, value)
        self._argument, self._returns = block.argument, block.returns

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns one of its arguments, in a tuple with None for all else where the block returned one."""
        given = args[self._argument] if isinstance(self._argument, int) else kwargs[self._argument]
        return (given, *[None] * (self._returns - 1)) if self._returns else given


@torch.no_grad()
def find_blocks(model: nn.Module, inputs: Inputs, watch: Watch) -> list[Block]:
    """Returns the residual blocks of a network, in execution order.

    A module counts as one when it takes a tensor and returns one of the same shape, alone or first in a tuple, lets it
    through unchanged once all of its weights are zero, and the network runs without it. Layers that normalise what
    they hand on, as in BERT, let it through normalised once all weights but their norms' are zero. Of blocks in
    blocks, the innermost are taken, unless what they leave out of the outer one is more than a quarter of its weights.

    Args:
        model: the network; it is not changed.
        inputs: example inputs.
        watch: what is not found in its time is left out, and that is said.
    """
    seen: dict[str, _Called] = {}
    found: list[str] = []
    try:
        with watch.guard():
            seen = _calls(model, inputs)
            for names in _candidates(model, inputs, seen):
                found = names
    except Expired:
        progress.say(f"not all blocks were looked at: the limit of {watch.limit_s:g} s was used up in {watch.module}")
    return [seen[name].block for name in seen if name in found]


def _candidates(model: nn.Module, inputs: Inputs, seen: dict[str, _Called]) -> Iterator[list[str]]:
    """Yields the blocks found so far."""
    found: list[str] = []
    # inner modules come after their parents in named_modules: going backwards finds the innermost first
    for name in reversed(seen):
        inside = [other for other in found if other.startswith(name + ".")]
        module = model.get_submodule(name)
        if inside and _weights([model.get_submodule(other) for other in inside]) >= _COVERED * _weights([module]):
            continue
        if _passes_through(module, seen[name]) and _runs_without(model, seen[name].block, inputs):
            found = [other for other in found if other not in inside] + [name]
            yield found


def blocks_named(model: nn.Module, inputs: Inputs, names: Iterable[str]) -> list[Block]:
    """Returns the blocks of these names, that have been found to be blocks before."""
    seen = _calls(model, inputs) if (names := list(names)) else {}
    return [seen[name].block if name in seen else Block(name) for name in names]


def drop_blocks(model: nn.Module, blocks: Sequence[Block]) -> None:
    """Replaces blocks by what hands on their input, in place."""
    for block in blocks:
        model.set_submodule(block.name, Passed(block, model.get_submodule(block.name)))


@torch.no_grad()
def _calls(model: nn.Module, inputs: Inputs) -> dict[str, _Called]:
    """Returns how modules with weights that keep one tensor's shape were called, by name, in order."""
    seen: dict[str, _Called] = {}
    calls: dict[str, int] = {}
    handles = []

    def note(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls[name] = calls.get(name, 0) + 1
        named: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        given = [(key, value) for key, value in named if torch.is_tensor(value)]
        returns = len(output) if isinstance(output, tuple | list) else 0
        result = output[0] if returns else output
        if not given or not torch.is_tensor(result) or isinstance(output, list):
            return
        argument, first = given[0]
        if first.shape == result.shape and first.is_floating_point():
            kept = pytree.tree_map_only(Tensor, torch.clone, (args, kwargs))
            seen[name] = _Called(Block(name, argument, returns), *kept)

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


def _passes_through(module: nn.Module, called: _Called) -> bool:
    zeroed, normed = copy.deepcopy(module), copy.deepcopy(module)
    for parameter in zeroed.parameters():
        parameter.zero_()
    norms = [part for part in normed.modules() if _is_norm(part)]
    of_norms = {parameter for part in norms for parameter in part.parameters()}
    for parameter in normed.parameters():
        if parameter not in of_norms:
            parameter.zero_()
    for part in norms:
        for name, parameter in part.named_parameters():
            parameter.fill_(float(not any(word in name for word in _SHIFTS)))
    # the example alone is not enough: of zeros, as after a ReLU that nothing passes, every layer makes zeros
    anything = torch.rand(called.given.shape, generator=torch.Generator().manual_seed(0)).to(called.given)
    given = (called.given, anything)
    if all(_gives(zeroed, called, one, one, TOLERANCE) for one in given):
        return True
    if not norms or len(of_norms) == len(list(module.parameters())):
        return False
    return any(
        all(_gives(normed, called, one, norm(one, one.shape[-1:]), _NORM_TOLERANCE) for one in given)
        for norm in (F.layer_norm, F.rms_norm)
    )


def _is_norm(module: nn.Module) -> bool:
    """Says whether a module may be a norm over channels: it holds vectors only, and no other modules."""
    parameters = list(module.parameters(recurse=False))
    leaf = bool(parameters) and not any(True for _ in module.children())
    return leaf and all(parameter.ndim == 1 for parameter in parameters)


def _gives(module: nn.Module, called: _Called, given: Tensor, expected: Tensor, tolerance: float) -> bool:
    try:
        output = called.run(module, given)
    except Exception:  # it may raise anything on what it was not made for: then it passes nothing through
        return False
    return bool(output.shape == expected.shape and largest_difference(output, expected) <= tolerance)


def _weights(modules: Iterable[nn.Module]) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _runs_without(model: nn.Module, block: Block, inputs: Inputs) -> bool:
    shorter = copy.deepcopy(model)
    drop_blocks(shorter, [block])
    try:
        record(shorter, inputs)
    except Exception:  # whatever it is that the network misses, the block has to stay
        return False
    return True
