"""What the MobileNets share: how widths are rounded, how strides are left out, convolution with BatchNorm and ReLU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

_MULTIPLE = 8
_FULL_STRIDE = 32


def width_of(full: int, factor: float) -> int:
    """Returns ``full * factor`` as a multiple of 8, never less than 90% of it; as in the authors' TensorFlow code."""
    exact = full * factor
    rounded = max(_MULTIPLE, int(exact + _MULTIPLE / 2) // _MULTIPLE * _MULTIPLE)
    return rounded + _MULTIPLE if rounded < 0.9 * exact else rounded


def strides(total: int, full: Sequence[int]) -> list[int]:
    """Returns strides whose product is ``total``, from such whose product is 32: the first ones become 1.

    Raises:
        ValueError: it is none of 1, 2, 4, 8, 16 and 32.
    """
    if total not in {1, 2, 4, 8, 16, _FULL_STRIDE}:
        raise ValueError(f"stride must be 1, 2, 4, 8, 16 or {_FULL_STRIDE}, not {total}")
    surplus, left = _FULL_STRIDE // total, []
    for stride in full:
        left.append(1 if surplus > 1 else stride)
        surplus = surplus // stride if surplus > 1 else surplus
    return left


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, activation: type[nn.Module] = nn.ReLU6
) -> nn.Sequential:
    """Returns a convolution that keeps the image's size but for its stride, BatchNorm and an activation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), activation())
