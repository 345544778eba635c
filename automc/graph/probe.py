"""The probe that each group must pass before anybody may prune it.

Half of a group's channels are zeroed in one copy of the network (`automc.graph.masks`) and removed from another; both
must give the same outputs. On some networks the coupling has wrong indices and the pruned network still runs: only
this shows it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc.errors import one_line
from automc.graph.groups import Group, remove_channels
from automc.graph.masks import NotEquivariantError, zero_channels
from automc.graph.ops import Op, record
from automc.graph.watch import Watch
from automc.tasks import Inputs, call

TOLERANCE = 1e-5
"""Largest difference of outputs that a probe forgives, relative to the largest output or 1, whichever is larger."""


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
def probe(model: nn.Module, inputs: Inputs, outputs: Any, group: Group, watch: Watch) -> Probe:
    """Removes half of a group's channels and compares with zeroing them.

    Args:
        model: the network; it is not changed.
        inputs: example inputs.
        outputs: what the network returns for them.
        group: the group to try.
        watch: follows the network, and so knows where a copy of it failed.
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
        said = f"{one_line(error, 160)}, in {watch.module}"
        return Probe(f"the network does not run without some of its channels: {said}")
    if [leaf.shape for leaf in _tensors(after)] != [leaf.shape for leaf in _tensors(outputs)]:
        return Probe("its channels are the network's output")
    readers = [member.module for member in group.members if member.role == "in"]
    try:
        difference = largest_difference(_heard(pruned, readers, inputs), _heard(zeroed, readers, inputs))
    except NotEquivariantError as error:
        return Probe(f"a module of class {error} does not treat its channels alike")
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
