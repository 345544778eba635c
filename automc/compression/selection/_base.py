"""The contract of a selector, and what those that look at weights share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from automc.compression.calibration import Calibration
from automc.graph import Group, ModelGraph

Positions = tuple[tuple[int, ...], ...]
"""For each channel of a group, a layer's positions that belong to it."""


class Selector(ABC):
    """Says how much each channel matters.

    It is asked once for a model; which channels stay under a policy follows from its scores: for any width those with
    the highest, so that a smaller choice is always part of a larger one.

    Attributes:
        cumulative: whether a channel's score is what is lost with it *and* all that score less, not with it alone.
    """

    cumulative: ClassVar[bool] = False

    @abstractmethod
    def scores(self, model: nn.Module, graph: ModelGraph, calibration: Calibration) -> dict[str, Tensor]:
        """Returns, for each prunable group, finite scores (channels,); larger matters more.

        Args:
            model: the original; it is not changed.
            graph: its graph.
            calibration: what may be looked at.

        Raises:
            ConfigError: the selector needs what the task does not give.
            TaskError: weights or activations are not finite.
        """


def layers_of(model: nn.Module, group: Group, role: str) -> dict[str, Positions]:
    """Returns the layers with weights that read a group's channels (role ``in``) or make them (``out``)."""
    modules = dict(model.named_modules())
    found: dict[str, Positions] = {}
    for member in group.members:
        if member.tensor is not None:  # it adds or scales, it reads nothing
            continue
        weight = getattr(modules.get(member.module), "weight", None)
        if member.role == role and isinstance(weight, Tensor) and weight.ndim >= 2:
            before = found.get(member.module, ((),) * group.channels)
            found[member.module] = tuple((*a, *b) for a, b in zip(before, member.positions, strict=True))
    return found


def channel_sums(layer: nn.Module, values: Tensor, positions: Positions, role: str) -> Tensor:
    """Returns (channels,) sums of the values that belong to each channel.

    Args:
        layer: the layer.
        values: one for each of its weights, of the weight's shape.
        positions: the layer's positions of each channel.
        role: whether these are positions of its inputs (``in``) or outputs (``out``).
    """
    inputs_first = isinstance(layer, nn.modules.conv._ConvTransposeNd | nn.Embedding)
    sums = values.transpose(0, int((role == "in") != inputs_first)).flatten(1).sum(1)
    return torch.stack([sums[list(several)].sum() for several in positions])


class WeightSelector(Selector):
    """Scores channels by the weights that read them.

    Scores are added over all layers that read a group, each layer's divided by their mean so that a large layer does
    not decide alone. A group that no layer with weights reads is scored by the weights that make it.
    """

    @torch.no_grad()
    def scores(self, model: nn.Module, graph: ModelGraph, calibration: Calibration | None = None) -> dict[str, Tensor]:
        """Returns, for each prunable group, scores (channels,)."""
        return {group.name: self.of_group(model, group) for group in graph.prunable}

    def of_group(self, model: nn.Module, group: Group) -> Tensor:
        """Returns the scores (channels,) of one group."""
        role = "in" if layers_of(model, group, "in") else "out"
        parts = []
        for name, positions in layers_of(model, group, role).items():
            layer = model.get_submodule(name)
            assert isinstance(layer.weight, Tensor)
            parts.append(self._of_layer(layer, layer.weight.detach(), positions, role))
        return mean_of_shares(parts, group.channels)

    @abstractmethod
    def _of_layer(self, layer: nn.Module, weight: Tensor, positions: Positions, role: str) -> Tensor:
        """Returns the scores (channels,) by one layer."""


def mean_of_shares(parts: Sequence[Tensor], channels: int) -> Tensor:
    """Returns the sum (channels,) of scores, each divided by its mean; zeros where there are none."""
    total = torch.zeros(channels)
    for part in parts:
        total += part / part.mean().clamp(min=1e-12)
    return total
