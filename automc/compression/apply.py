"""Making the smaller network that a policy describes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automc.errors import ConfigError
from automc.graph import Group, ModelGraph
from automc.graph.blocks import drop_blocks
from automc.graph.groups import remove_channels
from automc.search_spaces import Policy
from automc.search_spaces.policy import FLOAT_BITS


@dataclass(frozen=True)
class Compressed:
    """A compressed network and the decisions that made it.

    Attributes:
        model: the network, physically smaller, in evaluation mode.
        kept: for each pruned group, the channels of the original that stay, ascending.
        dropped: names of the blocks that went.
    """

    model: nn.Module
    kept: Mapping[str, tuple[int, ...]]
    dropped: tuple[str, ...]


def compress(model: nn.Module, graph: ModelGraph, policy: Policy, scores: Mapping[str, Tensor]) -> Compressed:
    """Applies a policy to a copy of the model.

    Args:
        model: the original; it is not changed.
        graph: its graph.
        policy: what to choose.
        scores: for each prunable group, (channels,) scores; the highest stay.

    Raises:
        ConfigError: the policy asks for what this network does not have.
    """
    groups = {group.name: group for group in graph.prunable}
    blocks = {block.name for block in graph.blocks}
    kept, dropped = {}, []
    for unit, choice in policy.items():
        if choice.keep is not None and unit not in blocks:
            raise ConfigError(f"the policy drops '{unit}', which is no droppable block of this model")
        if choice.keep is False:
            dropped.append(unit)
        if not {choice.weight_bits, choice.activation_bits} <= {None, FLOAT_BITS}:
            raise ConfigError(f"the policy quantizes '{unit}'; this version of AutoMC keeps layers in float32")
        if choice.channels is None:
            continue
        if unit not in groups:
            raise ConfigError(f"the policy prunes '{unit}', which is no prunable group of this model")
        if not 1 <= choice.channels <= groups[unit].channels:
            raise ConfigError(f"the policy keeps {choice.channels} of {groups[unit].channels} channels of '{unit}'")
        if choice.channels < groups[unit].channels:
            best = torch.argsort(scores[unit], descending=True, stable=True)[: choice.channels]
            kept[unit] = tuple(sorted(best.tolist()))
    return Compressed(rebuild(model, graph.groups, kept, dropped), kept, tuple(dropped))


def rebuild(
    model: nn.Module, groups: Iterable[Group], kept: Mapping[str, Sequence[int]], dropped: Sequence[str]
) -> nn.Module:
    """Returns a copy of the model with only these channels of the named groups and without these blocks."""
    smaller = copy.deepcopy(model).eval()
    groups = list(groups)
    removed = {
        group.name: [channel for channel in range(group.channels) if channel not in set(kept[group.name])]
        for group in groups
        if group.name in kept
    }
    remove_channels(smaller, groups, removed)
    drop_blocks(smaller, list(dropped))
    return smaller
