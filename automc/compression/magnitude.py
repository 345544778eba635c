"""Which channels matter: the sum of absolute weights, as in AMC (He et al., ECCV 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automc.graph import ModelGraph


@torch.no_grad()
def magnitudes(model: nn.Module, graph: ModelGraph) -> dict[str, Tensor]:
    """Returns, for each prunable group, one score (channels,) a channel; larger matters more.

    A channel's score is the sum of the absolute weights that read it, as AMC's, over all layers that do so, each
    layer's scores divided by their mean so that a large layer does not decide alone. A group that no layer with
    weights reads is scored by the weights that make it.
    """
    scores = {}
    for group in graph.prunable:
        readers = [m for m in group.members if m.role == "in"] or [m for m in group.members if m.role == "out"]
        total = torch.zeros(group.channels)
        for member in readers:
            if member.tensor is not None:  # it adds or scales, it reads nothing
                continue
            layer = model.get_submodule(member.module)
            weight = getattr(layer, "weight", None)
            if not isinstance(weight, Tensor) or weight.ndim < 2:
                continue
            inputs_first = isinstance(layer, nn.modules.conv._ConvTransposeNd | nn.Embedding)
            dim = int((member.role == "in") != inputs_first)
            sums = weight.abs().transpose(0, dim).flatten(1).sum(1)
            part = torch.stack([sums[list(positions)].sum() for positions in member.positions])
            total += part / part.mean().clamp(min=1e-12)
        scores[group.name] = total
    return scores
