"""Coupled channel groups, as torch-pruning finds them (DepGraph, Fang et al., CVPR 2023), and removing channels.

What it finds is believed only after a probe; see `automc.graph.probe`.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from automc.errors import TraceError
from automc.tasks import Inputs


@dataclass(frozen=True)
class Member:
    """A module whose channels belong to a group.

    Attributes:
        module: its name in the model.
        role: ``out`` if the group's channels are its output channels, ``in`` if they are its input.
        prune: removes the given positions from such a module, in place; torch-pruning's.
        positions: for each channel of the group, the module's positions that belong to it. A linear layer
            after a flatten has several for each.
    """

    module: str
    role: str
    prune: Callable[[nn.Module, Sequence[int]], Any]
    positions: tuple[tuple[int, ...], ...]

    def of(self, channels: Iterable[int]) -> list[int]:
        """Returns the module's positions that belong to these channels of the group."""
        return sorted(position for channel in channels for position in self.positions[channel])


@dataclass(frozen=True)
class Group:
    """Channels that can only be removed together, named after the layer that makes them.

    Attributes:
        name: the unit's name in a policy.
        channels: how many there are.
        members: the modules whose weights they touch.
        frozen: why the group cannot be pruned, or None if it passed its probe.
    """

    name: str
    channels: int
    members: tuple[Member, ...]
    frozen: str | None = None

    def __str__(self) -> str:
        modules = ", ".join(f"{member.module}[{member.role}]" for member in self.members)
        return f"{self.name}: {self.channels} channels, {self.frozen or 'prunable'}: {modules}"


def find_groups(model: nn.Module, inputs: Inputs) -> list[Group]:
    """Returns the coupled groups of a network as torch-pruning sees them, unprobed.

    Raises:
        TraceError: the network cannot be traced.
    """
    import torch_pruning

    model = copy.deepcopy(model).eval().requires_grad_(True)
    names = {module: name for name, module in model.named_modules()}
    # it prints warnings that mean nothing to our users
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), torch.enable_grad():
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=inputs, verbose=False)
            coupled = list(graph.get_all_groups(root_module_types=[nn.modules.conv._ConvNd, nn.Linear]))
        except Exception as error:
            raise TraceError(f"the model cannot be traced: {first_line(error)}") from error
    groups = []
    for items in coupled:
        root = items[0].dep.target.module
        channels = len(items[0].idxs)
        members, strange = [], None
        for item in items:
            target = item.dep.target
            if isinstance(target.module, nn.Parameter):
                strange = f"it touches the bare parameter of {target.name}"
            if target.module not in names:  # an operator without weights
                continue
            positions: list[list[int]] = [[] for _ in range(channels)]
            for position, channel in zip(item.idxs, item.root_idxs, strict=True):
                positions[channel].append(position)
            role = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
            if len({len(several) for several in positions}) > 1:
                strange = f"only some of its channels are in {names[target.module]}"
            if _is_grouped(target.module):
                strange = f"it touches the grouped convolution {names[target.module]}"
            members.append(Member(names[target.module], role, item.dep.handler, tuple(tuple(p) for p in positions)))
        groups.append(Group(names[root], channels, tuple(members), strange))
    return groups


def remove_channels(model: nn.Module, groups: Iterable[Group], removed: Mapping[str, Sequence[int]]) -> None:
    """Removes channels from a model, in place.

    Args:
        model: the original network or a copy of it: positions count its full widths.
        groups: the groups of the network.
        removed: for each group's name, the channels to remove.
    """
    modules = dict(model.named_modules())
    plan: dict[tuple[str, Any], set[int]] = {}
    for group in groups:
        for member in group.members if removed.get(group.name) else ():
            plan.setdefault((member.module, member.prune), set()).update(member.of(removed[group.name]))
    for (name, prune), positions in plan.items():
        if positions:
            prune(modules[name], sorted(positions))


def _is_grouped(module: nn.Module) -> bool:
    """Says whether a module is a convolution with groups, other than one filter for each channel."""
    return isinstance(module, nn.modules.conv._ConvNd) and not (
        module.groups == 1 or module.groups == module.in_channels == module.out_channels
    )


def first_line(error: Exception) -> str:
    """Returns what an error of somebody else's code says, shortened to one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]
