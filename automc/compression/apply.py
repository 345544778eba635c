"""Making the smaller network that a policy describes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from automc.compression.bits import check_bits, is_simulated
from automc.errors import ConfigError
from automc.graph import Block, Group, ModelGraph
from automc.graph.blocks import drop_blocks
from automc.graph.groups import remove_channels
from automc.search_spaces import Policy
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS


@dataclass(frozen=True)
class Compressed:
    """A compressed network and the decisions that made it.

    Attributes:
        model: the network, physically smaller, in evaluation mode.
        kept: for each pruned group, the channels of the original that stay, ascending.
        dropped: names of the blocks that went.
        bits: (weight bits, activation bits) of the layers that are not to stay in float; `compress` leaves them so,
            see `quantize`.
    """

    model: nn.Module
    kept: Mapping[str, tuple[int, ...]]
    dropped: tuple[str, ...]
    bits: Mapping[str, tuple[int, int]] = field(default_factory=dict)


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
    layers, weighted = ({layer.name for layer in found} for found in (graph.layers, graph.weighted))
    kept, dropped, fewer = {}, [], {}
    for unit, choice in policy.items():
        if choice.keep is not None and unit not in blocks:
            raise ConfigError(f"the policy drops '{unit}', which is no droppable block of this model")
        if choice.keep is False:
            dropped.append(unit)
        bits = (choice.weight_bits or FLOAT_BITS, choice.activation_bits or FLOAT_BITS)
        check_bits(unit, bits)
        if bits == INT8_BITS:
            if unit not in layers:
                raise ConfigError(f"the policy asks for int8 in '{unit}', which is no layer that can run in it")
            fewer[unit] = bits
        elif is_simulated(bits):
            if unit not in weighted:
                raise ConfigError(f"the policy gives '{unit}' fewer bits, which is no layer that can be simulated")
            fewer[unit] = bits
        if choice.channels is None:
            continue
        if unit not in groups:
            raise ConfigError(f"the policy prunes '{unit}', which is no prunable group of this model")
        if not 1 <= choice.channels <= groups[unit].channels:
            raise ConfigError(f"the policy keeps {choice.channels} of {groups[unit].channels} channels of '{unit}'")
        if choice.channels < groups[unit].channels:
            best = torch.argsort(scores[unit], descending=True, stable=True)[: choice.channels]
            kept[unit] = tuple(sorted(best.tolist()))
    gone = tuple(f"{block}." for block in dropped)
    stay = {unit: bits for unit, bits in fewer.items() if not unit.startswith(gone)}
    going = [block for block in graph.blocks if block.name in dropped]
    return Compressed(rebuild(model, graph.groups, kept, going), kept, tuple(dropped), stay)


def rebuild(
    model: nn.Module, groups: Iterable[Group], kept: Mapping[str, Sequence[int]], dropped: Sequence[Block]
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
    drop_blocks(smaller, dropped)
    return smaller
