"""What is known of an axis before anything is measured: how the harms of its options relate to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from automc.compression import Compressor
from automc.search_spaces import Axis

_FEW = 3  # options up to which each has a curve of its own
_FLOOR = 1e-3
_BITS = 4  # where harms of bits are measured first: fewer are another matter, with more there is little to see


@dataclass(frozen=True)
class Curve:
    """Harms up to a factor, which one measurement gives; several let it differ along the curve.

    Attributes:
        shape: (O,) for each option, from 0 on; the last is 0.
        points: options at which to measure, ascending; what they have in ``shape`` is above 0.
    """

    shape: np.ndarray
    points: tuple[int, ...]

    def through(self, harms: np.ndarray) -> np.ndarray:
        """Returns (O,) the curve through the harms measured at its points: the factor's logarithm is linear between.

        It never falls where the shape rises.
        """
        order = np.argsort(self.shape, kind="stable")
        logs = np.log(np.maximum(self.shape, 1e-30))
        points = np.array([option for option in order if option in self.points])
        known = np.log(np.maximum(harms, 1e-12))[[self.points.index(option) for option in points]] - logs[points]
        found = self.shape * np.exp(np.interp(logs, logs[points], known))
        found[order] = np.maximum.accumulate(found[order])
        return found


def curves(compressor: Compressor, axis: Axis, points: int) -> list[Curve]:
    """Returns the curves whose sum has the shape of an axis's harms.

    - Channels: what their selector says is lost without them.
    - Bits: the squared error of rounding, which is four times as large for every bit less (Widrow and Kollár,
      Quantization Noise, 2008), apart for weights and activations where the axis has options for it.
    - Few options, such as a block's or int8: each by itself.

    Args:
        compressor: has the selector's estimates.
        axis: the axis.
        points: at how many options of a curve to measure.
    """
    size = len(axis.options)
    if size <= _FEW or axis.field not in ("channels", "bits"):
        return [Curve(np.eye(size)[option], (option,)) for option in range(size - 1)]
    if axis.field == "channels":
        return [_of_channels(compressor, axis, points)]
    return _of_bits(axis.options, points)


def _of_channels(compressor: Compressor, axis: Axis, points: int) -> Curve:
    widths = np.array(axis.options)
    gone = widths[-1] - widths
    shape = compressor.lost(axis.unit).numpy()[gone]
    shape = np.maximum(shape / max(shape[0], 1e-30), _FLOOR * (gone / widths[-1]) ** 2)
    fractions = np.arange(1, points + 1) / (points + 1)
    return Curve(shape, tuple(sorted({int(np.abs(widths[:-1] - f * widths[-1]).argmin()) for f in fractions})))


def _of_bits(options: tuple[Any, ...], points: int) -> list[Curve]:
    bits = np.array(options, dtype=float)
    noise = 4.0**-bits - 4.0 ** -bits[-1]
    alone = [np.flatnonzero(bits[:-1, 1 - part] == bits[-1, 1 - part]) for part in (0, 1)]
    if all(map(len, alone)):
        return [Curve(noise[:, part], _near(bits[:, part], alone[part], points)) for part in (0, 1)]
    return [Curve(noise.sum(1), _near(bits.max(1), np.arange(len(bits) - 1), points))]


def _near(bits: np.ndarray, options: np.ndarray, points: int) -> tuple[int, ...]:
    """Returns so many of some options, those nearest to where one measures first."""
    order = options[np.argsort(np.abs(bits[options] - _BITS), kind="stable")]
    return tuple(sorted(order[:points].tolist()))
