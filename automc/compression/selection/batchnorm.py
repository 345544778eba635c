"""The scale of a channel's BatchNorm (Network Slimming, Liu et al., ICCV 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automc.compression.calibration import Calibration
from automc.compression.selection._base import Selector, mean_of_shares
from automc.compression.selection.magnitude import Magnitude
from automc.graph import Group, ModelGraph


class BatchNorm(Selector):
    """Scores a channel by |γ| of the BatchNorm behind the layer that makes it.

    Where several normalise a group, each one's scales are divided by their mean and added. A group without BatchNorm,
    or whose BatchNorm has no scales, is scored by `Magnitude`.
    """

    @torch.no_grad()
    def scores(self, model: nn.Module, graph: ModelGraph, calibration: Calibration | None = None) -> dict[str, Tensor]:
        """Returns, for each prunable group, scores (channels,)."""
        return {group.name: self._of_group(model, group) for group in graph.prunable}

    def _of_group(self, model: nn.Module, group: Group) -> Tensor:
        modules, parts = dict(model.named_modules()), []
        for member in group.members:
            norm = modules.get(member.module)
            if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.affine:
                scale = norm.weight.abs()
                parts.append(torch.stack([scale[list(several)].sum() for several in member.positions]))
        return mean_of_shares(parts, group.channels) if parts else Magnitude().of_group(model, group)
