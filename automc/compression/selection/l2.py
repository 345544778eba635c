"""The Euclidean norm of the weights that read a channel (after Li et al., ICLR 2017, who take norms of filters)."""

from __future__ import annotations

from torch import Tensor, nn

from automc.compression.selection._base import Positions, WeightSelector, channel_sums


class L2(WeightSelector):
    """Scores a channel by ‖W‖₂ of each layer that reads it."""

    def _of_layer(self, layer: nn.Module, weight: Tensor, positions: Positions, role: str) -> Tensor:
        return channel_sums(layer, weight.square(), positions, role).sqrt()
