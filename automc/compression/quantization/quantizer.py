"""The quantizer of one tensor of activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automc.compression.quantization.clipping import clip

_LEVELS_8 = 255


class Quantizer(nn.Module):
    """Rounds a tensor to 2^bits levels; one that observes passes everything and notes the range of what it sees.

    Args:
        bits: of each element.
        clipping: how the range is chosen, see `automc.compression.quantization.clipping`.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, bits: int = 8, clipping: str = "minmax") -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("zero_point", torch.tensor(0, dtype=torch.int32))
        self.bits, self.levels, self.clipping = bits, 2**bits - 1, clipping
        self.observing = False
        self._low, self._high = 0.0, 0.0  # zero is always a level: padding must be exact

    def forward(self, x: Tensor) -> Tensor:
        """Returns the tensor with every element on a level."""
        if self.observing:
            seen = clip(x, self.clipping, self.levels)
            self._low, self._high = min(self._low, seen[0]), max(self._high, seen[1])
            return x
        if torch.compiler.is_exporting() or torch.is_grad_enabled():
            if self.levels < _LEVELS_8:  # an exporter knows 256 levels only: others are never reached
                low, high = -self.zero_point * self.scale, (self.levels - self.zero_point) * self.scale
                x = torch.where(x < low, low, x)  # minimum and maximum trip the exporter where two read one tensor
                x = torch.where(x > high, high, x)
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, 0, _LEVELS_8)
        # the same numbers ten times as fast; in float32 under autocast too
        levels = x.float().mul(1 / self.scale).round_().clamp_(-self.zero_point, self.levels - self.zero_point)
        return levels.mul_(self.scale).to(x.dtype)

    def calibrate(self, x: Tensor) -> None:
        """Sets the levels by one tensor alone."""
        self._low = self._high = 0.0
        self.observing = True
        self(x)
        self.settle()

    def settle(self) -> None:
        """Spreads the levels over the range that was seen."""
        self.observing = False
        scale = (self._high - self._low) / self.levels or 1.0  # of what is always zero any scale is right
        self.scale.fill_(scale)
        self.zero_point.fill_(round(-self._low / scale))
