"""The sum of absolute weights that read a channel, as in AMC (He et al., ECCV 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from automc.compression.selection._base import Positions, WeightSelector, channel_sums
from automc.graph import ModelGraph


class Magnitude(WeightSelector):
    """Scores a channel by Σ|W| of the layers that read it."""

    def _of_layer(self, layer: nn.Module, weight: Tensor, positions: Positions, role: str) -> Tensor:
        return channel_sums(layer, weight.abs(), positions, role)


def magnitudes(model: nn.Module, graph: ModelGraph) -> dict[str, Tensor]:
    """Returns, for each prunable group, its scores (channels,) by `Magnitude`, which needs no calibration."""
    return Magnitude().scores(model, graph)
