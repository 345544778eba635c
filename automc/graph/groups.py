"""Coupled channel groups, and the probe that each must pass before anybody may prune it.

Coupling comes from torch-pruning (DepGraph, Fang et al., CVPR 2023). It is believed only after its channels were
zeroed in one copy of the network and removed from another, and both gave the same outputs: on some networks the
coupling has wrong indices and the pruned network still runs.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc.errors import TraceError
from automc.graph.ops import Op, record
from automc.tasks import Inputs, call

TOLERANCE = 1e-5
"""Largest difference of outputs that a probe forgives, relative to the largest output or 1, whichever is larger."""


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


def zero_channels(model: nn.Module, group: Group, channels: Iterable[int]) -> None:
    """Makes a group's channels zero wherever they are produced, in place."""
    modules = dict(model.named_modules())
    for member in group.members:
        if member.role == "out":
            for _, tensor in _channel_tensors(modules[member.module]):
                tensor.index_fill_(0, torch.tensor(member.of(channels), dtype=torch.long), 0)


@dataclass(frozen=True)
class Probe:
    """What trying a group showed.

    Attributes:
        frozen: why the group must not be pruned, or None.
        removed: how many of its channels were removed.
        model: the network without them.
        ops: the operators of that network.
    """

    frozen: str | None
    removed: int = 0
    model: nn.Module | None = None
    ops: tuple[Op, ...] = ()


@torch.no_grad()
def probe(model: nn.Module, inputs: Inputs, outputs: Any, group: Group) -> Probe:
    """Removes half of a group's channels and compares with zeroing them.

    Args:
        model: the network; it is not changed.
        inputs: example inputs.
        outputs: what the network returns for them.
        group: the group to try.
    """
    if group.frozen:
        return Probe(group.frozen)
    if group.channels < 2:
        return Probe("it has one channel only")
    # scattered channels, so that a wrong index shows
    order = torch.randperm(group.channels, generator=torch.Generator().manual_seed(group.channels))
    removed = sorted(order[: group.channels // 2].tolist())
    pruned, zeroed = copy.deepcopy(model), copy.deepcopy(model)
    try:
        remove_channels(pruned, [group], {group.name: removed})
        ops, after = record(pruned, inputs)
        zero_channels(zeroed, group, removed)
    except Exception as error:
        return Probe(f"the network does not run without some of its channels: {first_line(error)}")
    if [leaf.shape for leaf in _tensors(after)] != [leaf.shape for leaf in _tensors(outputs)]:
        return Probe("its channels are the network's output")
    readers = [member.module for member in group.members if member.role == "in"]
    difference = largest_difference(_heard(pruned, readers, inputs), _heard(zeroed, readers, inputs))
    if not difference <= TOLERANCE:
        return Probe(f"removing its channels is not the same as zeroing them: outputs differ by {difference:.2g}")
    return Probe(None, len(removed), pruned, tuple(ops))


def _heard(model: nn.Module, readers: Iterable[str], inputs: Inputs) -> list[Tensor]:
    """Returns what a network puts out, and what these layers of it do: a later ReLU may hide a difference in them."""
    heard: list[Tensor] = []

    def listen(module: nn.Module, args: Any, output: Any) -> None:
        heard.extend(tensor.clone() for tensor in _tensors(output))  # cloned: what follows may work in place

    handles = [model.get_submodule(name).register_forward_hook(listen) for name in readers]
    heard.extend(_tensors(call(model, inputs)))
    for handle in handles:
        handle.remove()
    return heard


def largest_difference(one: Any, other: Any) -> float:
    """Returns the largest difference of two outputs, relative to the largest value or 1; NaN where there is one."""
    pairs = [(a, b) for a, b in zip(_tensors(one), _tensors(other), strict=True) if a.shape == b.shape and a.numel()]
    differences = [(a - b).abs().max() / b.abs().max().clamp(min=1) for a, b in pairs]
    return torch.stack(differences).max().item() if differences else 0.0


def _tensors(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(outputs) if torch.is_tensor(leaf)]


def _channel_tensors(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Yields the tensors of a module that hold its output channels, with these channels first."""
    last_first = isinstance(module, nn.modules.conv._ConvTransposeNd | nn.Embedding)
    for name, tensor in module.named_parameters(recurse=False):
        yield name, tensor.data.transpose(0, 1) if last_first and tensor.ndim > 1 else tensor.data


def _is_grouped(module: nn.Module) -> bool:
    """Says whether a module is a convolution with groups, other than one filter for each channel."""
    return isinstance(module, nn.modules.conv._ConvNd) and not (
        module.groups == 1 or module.groups == module.in_channels == module.out_channels
    )


def first_line(error: Exception) -> str:
    """Returns what an error of somebody else's code says, shortened to one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]
