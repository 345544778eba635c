"""Removing channels from what torch-pruning has no function for: bare tensors, and layers that work in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Slice:
    """Removes positions from a parameter or buffer of a module that torch-pruning does not know.

    Attributes:
        tensor: its name in that module.
        dim: the dimension that holds the channels.
    """

    tensor: str
    dim: int

    def __call__(self, module: nn.Module, positions: Sequence[int]) -> None:
        """Removes the positions, in place; a module without others in it also notes its new width."""
        whole = getattr(module, self.tensor)
        size = whole.shape[self.dim]
        smaller = whole.detach().index_select(self.dim, torch.tensor(others(size, positions)))
        left = smaller.shape[self.dim]
        if isinstance(whole, nn.Parameter):
            setattr(module, self.tensor, nn.Parameter(smaller, whole.requires_grad))
        else:
            module._buffers[self.tensor] = smaller
        if any(True for _ in module.children()):
            return
        for name, value in list(vars(module).items()):
            if value == size and type(value) is int:
                setattr(module, name, left)
            elif isinstance(value, tuple) and value == (size,):
                setattr(module, name, (left,))


def others(size: int, positions: Sequence[int]) -> list[int]:
    """Returns the positions that stay when some of ``size`` go."""
    gone = set(positions)
    return [position for position in range(size) if position not in gone]


def prune_convolution_groups(module: nn.Module, positions: Sequence[int]) -> None:
    """Removes whole groups of a grouped convolution, inputs and outputs, given all outputs of these groups."""
    assert isinstance(module, nn.modules.conv._ConvNd) and not module.transposed
    each = module.out_channels // module.groups
    kept = others(module.out_channels, positions)
    if len(kept) % each or len(kept) // each != len({position // each for position in kept}):
        raise ValueError("only whole groups of a grouped convolution can be removed")
    inputs, groups = module.in_channels // module.groups, len(kept) // each
    module.weight = nn.Parameter(module.weight.detach()[kept], module.weight.requires_grad)
    if module.bias is not None:
        module.bias = nn.Parameter(module.bias.detach()[kept], module.bias.requires_grad)
    module.groups, module.in_channels, module.out_channels = groups, groups * inputs, len(kept)


def prune_group_norm(module: nn.Module, positions: Sequence[int]) -> Any:
    """Removes channels of a GroupNorm, whole groups where it has several."""
    import torch_pruning

    assert isinstance(module, nn.GroupNorm)
    each = module.num_channels // module.num_groups
    torch_pruning.prune_groupnorm_out_channels(module, list(positions))
    module.num_groups = max(1, module.num_channels // each)
