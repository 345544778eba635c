"""The range that levels cover: wide ones round coarsely, narrow ones clip.

For activations, each method takes a histogram of what was seen and gives one range for the tensor, which always has
zero: min-max; percentile; the least mean squared error; the least Kullback-Leibler divergence of the quantized
histogram from the original (S. Migacz, 8-bit inference with TensorRT, GTC 2017). For weights, each output channel has
its own scale: by the largest weight, or by the least squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_BINS = 2048
_SHARES = np.linspace(1.0, 0.02, 99)  # of the full range, that are tried
_TAIL = 1e-4  # what a percentile leaves out at each end
_WEIGHT_SHARES = torch.linspace(1.0, 0.3, 71).tolist()

Range = tuple[float, float]


@dataclass(frozen=True)
class Histogram:
    """How often values were seen.

    Attributes:
        edges: (_BINS + 1,) ascending; the first is not above zero and the last not below.
        counts: (_BINS,) values between them.
    """

    edges: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, x: Tensor) -> Histogram:
        """Returns the histogram of a tensor, but for its zeros: these are exact whatever the range."""
        low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
        edges = np.linspace(low, high, _BINS + 1)
        if low == high:
            return cls(edges, np.zeros(_BINS))
        counts = torch.histc(x.detach().float(), _BINS, low, high).double().numpy()
        zero = min(int(-low / (high - low) * _BINS), _BINS - 1)
        counts[zero] = max(counts[zero] - int((x == 0).sum()), 0)
        return cls(edges, counts)

    @property
    def range(self) -> Range:
        """The smallest and the largest value, zero included."""
        return float(self.edges[0]), float(self.edges[-1])

    @property
    def centres(self) -> np.ndarray:
        """(_BINS,) the values in the middle of the bins."""
        return (self.edges[1:] + self.edges[:-1]) / 2


def clip(x: Tensor, method: str, levels: int) -> Range:
    """Returns the range (low, high) with zero in it that so many steps are to cover.

    Args:
        x: what was seen.
        method: one of `METHODS`.
        levels: how many steps there are, 2^bits - 1.
    """
    if method == "minmax":  # by itself, since a histogram takes longer
        return min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    histogram = Histogram.of(x)
    return METHODS[method](histogram, levels) if histogram.counts.sum() else histogram.range


def _minmax(histogram: Histogram, levels: int) -> Range:
    return histogram.range


def _percentile(histogram: Histogram, levels: int) -> Range:
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    first, last = np.searchsorted(share, [_TAIL, 1 - _TAIL]).tolist()
    return min(float(histogram.edges[first]), 0.0), max(float(histogram.edges[min(last + 1, _BINS)]), 0.0)


def _mse(histogram: Histogram, levels: int) -> Range:
    def error(low: float, high: float) -> float:
        values = histogram.centres
        return float(histogram.counts @ (values - _on_levels(values, low, high, levels)) ** 2)

    return _best(histogram.range, error)


def _kl(histogram: Histogram, levels: int) -> Range:
    values, counts = histogram.centres, histogram.counts

    def divergence(low: float, high: float) -> float:
        clipped = np.clip(values, low, high)
        inside = clipped == values
        if not counts[inside].any():
            return np.inf
        # what is clipped counts at the ends; what shares a level is spread evenly over the bins that were not empty
        original = np.where(inside, counts, 0.0)
        first, last = np.flatnonzero(inside)[[0, -1]]
        original[first] += counts[values < low].sum()
        original[last] += counts[values > high].sum()
        step = (high - low) / levels
        level = np.minimum((clipped[inside] - low) / step, levels).round().astype(int)
        filled = (counts[inside] > 0).astype(float)
        mass, number = (np.bincount(level, weights=w, minlength=levels + 1) for w in (counts[inside], filled))
        spread = np.where(filled > 0, (mass / np.maximum(number, 1))[level], 0.0)
        p, q = original[inside] / original.sum(), spread / spread.sum()
        both = p > 0
        return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))).sum())

    return _best(histogram.range, divergence)


def _best(full: Range, error: Callable[[float, float], float]) -> Range:
    """Returns the range of least error: both ends pulled in alike, then each by itself."""
    low, high = min(((s * full[0], s * full[1]) for s in _SHARES), key=lambda r: error(*r))
    if full[0] < 0 < full[1]:
        low = min((s * full[0] for s in _SHARES), key=lambda end: error(end, high))
        high = min((s * full[1] for s in _SHARES), key=lambda end: error(low, end))
    return low, high


def _on_levels(values: np.ndarray, low: float, high: float, levels: int) -> np.ndarray:
    step = (high - low) / levels
    zero = round(-low / step)
    return (np.clip(np.round(values / step), -zero, levels - zero)) * step


METHODS: dict[str, Callable[[Histogram, int], Range]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "mse": _mse,
    "kl": _kl,
}


def weight_scales(weight: Tensor, method: str, most: int) -> Tensor:
    """Returns the step (channels,) between the levels -most to most of each output channel's weights.

    Args:
        weight: (channels, ...).
        method: ``minmax`` or ``mse``.
        most: the largest level, 2^(bits - 1) - 1.
    """
    rows = weight.detach().flatten(1)
    full = rows.abs().amax(1) / most
    if method == "minmax":
        return full
    best, least = full.clone(), torch.full_like(full, torch.inf)
    for share in _WEIGHT_SHARES:
        scale = (share * full).clamp(min=1e-30)[:, None]
        error = ((rows / scale).round_().clamp_(-most, most).mul_(scale) - rows).square_().sum(1)
        better = error < least
        best[better], least[better] = scale[better, 0], error[better]
    return best
