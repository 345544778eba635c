"""Layers whose weights are stored as integers and read as floats: networks cast their inputs to that type."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Levels:
    _parameters: dict[str, nn.Parameter]

    @property
    def weight(self) -> Tensor:
        return self._parameters["weight"].float()


class _Conv2dOnLevels(_Levels, nn.Conv2d):  # type: ignore[misc, override]  # torch has a plain attribute there
    pass


class _LinearOnLevels(_Levels, nn.Linear):  # type: ignore[misc, override]  # likewise
    pass


@torch.no_grad()
def put_on_levels(layer: nn.Module, levels: Tensor, scale: Tensor) -> None:
    """Gives a layer integers for weights, in place, and the step (channels,) between them as a buffer."""
    layer.register_buffer("weight_scale", scale)
    layer.weight = nn.Parameter(levels.to(torch.int8).contiguous(), requires_grad=False)
    layer.__class__ = _Conv2dOnLevels if isinstance(layer, nn.Conv2d) else _LinearOnLevels
