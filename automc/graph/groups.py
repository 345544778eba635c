"""Coupled channel groups, and removing channels.

What is found is believed only after a probe; see `automc.graph.probe`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from automc.graph.shrink import Slice

Counted: TypeAlias = Literal["channels", "heads", "groups"]
"""What a group has a number of."""


@dataclass(frozen=True)
class Member:
    """A module whose channels belong to a group, or a bare tensor that it holds.

    Attributes:
        module: its name in the model; of a bare tensor, that of the module that holds it.
        role: ``out`` if the group's channels are its output channels, ``in`` if they are its input.
        prune: removes the given positions from such a module, in place.
        positions: for each channel of the group, the module's positions that belong to it. A linear layer
            after a flatten has several for each, and so have layers of attention.
        tensor: the name of a bare tensor in its module: a parameter or buffer of a module that is no layer, such as
            an embedding of positions; None where the member is the module.
    """

    module: str
    role: str
    prune: Callable[[nn.Module, Sequence[int]], Any]
    positions: tuple[tuple[int, ...], ...]
    tensor: str | None = None

    @property
    def name(self) -> str:
        """Its name in the model."""
        return self.module if self.tensor is None else f"{self.module}.{self.tensor}".lstrip(".")

    @property
    def dim(self) -> int:
        """The dimension of its tensor that holds the channels; 0 where the member is a module."""
        return self.prune.dim if isinstance(self.prune, Slice) else 0

    def of(self, channels: Iterable[int]) -> list[int]:
        """Returns the module's positions that belong to these channels of the group."""
        return sorted(position for channel in channels for position in self.positions[channel])


@dataclass(frozen=True)
class Reset:
    """A number that a module remembers of its width and that falls with it, such as its number of heads.

    Attributes:
        module: the module's name.
        attribute: the number's.
        each: by how much it falls for each channel of the group.
    """

    module: str
    attribute: str
    each: int


@dataclass(frozen=True)
class Group:
    """Channels that can only be removed together, named after the layer that makes them.

    Attributes:
        name: the unit's name in a policy.
        channels: how many there are; where only runs of a layer's channels can go, how many runs.
        members: the modules whose weights they touch.
        frozen: why the group cannot be pruned, or None if it passed its probe.
        unit: what one of them is: ``channels``, ``heads`` of attention, or ``groups`` of a convolution or norm.
        size: how many outputs of the layer that makes them each is.
        resets: what else changes with their number.
    """

    name: str
    channels: int
    members: tuple[Member, ...]
    frozen: str | None = None
    unit: Counted = "channels"
    size: int = 1
    resets: tuple[Reset, ...] = ()

    def __str__(self) -> str:
        modules = ", ".join(f"{member.name}[{member.role}]" for member in self.members)
        return f"{self.name}: {self.channels} {self.unit}, {self.frozen or 'prunable'}: {modules}"


def remove_channels(model: nn.Module, groups: Iterable[Group], removed: Mapping[str, Sequence[int]]) -> None:
    """Removes channels from a model, in place. Weights that modules share stay shared.

    Args:
        model: the original network or a copy of it: positions count its full widths.
        groups: the groups of the network.
        removed: for each group's name, the channels to remove.
    """
    modules = dict(model.named_modules())
    shared = _shared(model)
    plan: dict[tuple[str, Any], set[int]] = {}
    for group in groups:
        channels = removed.get(group.name, ())
        for member in group.members if channels else ():
            plan.setdefault((member.module, member.prune), set()).update(member.of(channels))
        for reset in group.resets if channels else ():
            module = modules[reset.module]
            setattr(module, reset.attribute, getattr(module, reset.attribute) - reset.each * len(channels))
    for (name, prune), positions in plan.items():
        if positions:
            prune(modules[name], sorted(positions))
    for (module, name), *rest in shared:
        tensor = getattr(module, name)
        for other, own in rest:
            if getattr(other, own) is not tensor and torch.equal(getattr(other, own), tensor):
                setattr(other, own, tensor)


def _shared(model: nn.Module) -> list[list[tuple[nn.Module, str]]]:
    """Returns the parameters that several modules hold: for each, the modules and its names in them."""
    holders: dict[nn.Parameter, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            holders.setdefault(parameter, []).append((module, name))
    return [several for several in holders.values() if len(several) > 1]
