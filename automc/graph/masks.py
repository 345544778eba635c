"""Networks in which some channels are zero wherever they are made: what removing them is compared with.

A norm over channels computes other statistics once some are gone, and zeroing does not show that. So in such a
network it computes on the channels that stay, and zeros take the place of the others. Heads are zero where they are
read, too: what they give may come from values that other heads share.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from automc.graph.groups import Group, Member
from automc.graph.shrink import others


class NotEquivariantError(Exception):
    """A module does not treat its channels alike, so that some of them cannot be left out."""


def zero_channels(model: nn.Module, group: Group, channels: Iterable[int]) -> None:
    """Makes a group's channels zero wherever they are produced, in place."""
    modules = dict(model.named_modules())
    channels = list(channels)
    norms: dict[str, list[Member]] = {}
    for member in group.members:
        module = modules[member.module]
        if member.role != "out":
            if group.unit == "heads":  # whose values may be those of other heads too
                module.get_parameter("weight").data.index_fill_(1, torch.tensor(member.of(channels)), 0)
            continue
        if _is_norm(module, member):
            norms.setdefault(member.module, []).append(member)
            continue
        positions = torch.tensor(member.of(channels), dtype=torch.long)
        if member.tensor is not None:
            getattr(module, member.tensor).data.index_fill_(member.dim, positions, 0)
            continue
        for tensor in _channel_tensors(module):
            tensor.index_fill_(0, positions, 0)
    for name, members in norms.items():
        model.set_submodule(name, _Masked(modules[name], members, channels))


class _Masked(nn.Module):
    """A norm that computes on some channels only and gives zeros for the others."""

    def __init__(self, module: nn.Module, members: list[Member], channels: list[int]) -> None:
        super().__init__()
        self.whole, self.pruned, self.permuted = (copy.deepcopy(module) for _ in range(3))
        first = members[0]
        self.size = _size(module, first)
        removed = first.of(channels)
        kept = [channel for channel in range(len(first.positions)) if channel not in set(channels)]
        self.kept = torch.tensor(others(self.size, removed))
        # another order of the channels that stay: what is done to one must not depend on where it stands
        shuffled = [kept[i] for i in torch.randperm(len(kept), generator=torch.Generator().manual_seed(0)).tolist()]
        order = torch.arange(self.size)
        order[_in_turn(first, kept)] = torch.tensor(_in_turn(first, shuffled))
        self.order = order
        for member in members:
            member.prune(self.pruned, member.of(channels))
            tensors = list(module._parameters) if member.tensor is None else [member.tensor]
            for tensor in tensors:
                value = getattr(self.permuted, tensor)
                if value is not None:
                    value.data = value.data.index_select(member.dim, order)

    def forward(self, x: Tensor) -> Tensor:
        """Returns what the norm makes of the channels that stay."""
        for dim in reversed(range(x.ndim)):
            if x.shape[dim] != self.size:
                continue
            try:
                y = self.pruned(x.index_select(dim, self.kept))
            except (RuntimeError, ValueError):  # another dimension of the same size
                continue
            other = self.permuted(x.index_select(dim, self.order))
            same = self.whole(x).index_select(dim, self.order)
            if not torch.allclose(other, same, rtol=1e-4, atol=1e-5):
                break
            return torch.zeros_like(x).index_copy(dim, self.kept, y)
        raise NotEquivariantError(type(self.whole).__name__)


def _is_norm(module: nn.Module, member: Member) -> bool:
    """Says whether a module may mix its channels in statistics: a norm, or an unknown one without modules in it."""
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return True
    return member.tensor is not None and not any(True for _ in module.children())


def _size(module: nn.Module, member: Member) -> int:
    if isinstance(module, nn.GroupNorm):
        return module.num_channels
    if isinstance(module, nn.LayerNorm):
        return module.normalized_shape[-1]
    return int(getattr(module, str(member.tensor)).shape[member.dim])


def _in_turn(member: Member, channels: Iterable[int]) -> list[int]:
    return [position for channel in channels for position in member.positions[channel]]


def _channel_tensors(module: nn.Module) -> Iterable[Tensor]:
    """Yields the tensors of a module that hold its output channels, with these channels first."""
    last_first = isinstance(module, nn.modules.conv._ConvTransposeNd | nn.Embedding)
    for tensor in module.parameters(recurse=False):
        yield tensor.data.transpose(0, 1) if last_first and tensor.ndim > 1 else tensor.data
