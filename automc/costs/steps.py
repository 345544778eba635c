"""Between two policies: options on the way from one to the other."""

from __future__ import annotations

import numpy as np

from automc.search_spaces import SearchSpace

_NONE = 1e9  # more bits or channels than there are


class Steps:
    """Options of a space that lie between others, widths counted as channels and bits as pairs.

    One pair of bits is between two others if it is in both numbers. Of several it is the one with the smallest or
    largest sum, of these the one whose two numbers are about the same shares of those that are wanted.

    Args:
        space: the space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        most = max(len(axis.options) for axis in space.axes)
        # (A, most options, 2) weights and activations, or channels twice; out of reach where there is no option
        self._pairs = np.full((len(space.axes), most, 2), _NONE)
        for row, axis in zip(self._pairs, space.axes, strict=True):
            row[: len(axis.options)] = np.array(axis.options, dtype=float).reshape(len(axis.options), -1)
        self._sums = self._pairs.sum(axis=2)

    def scaled(self, wanted: np.ndarray, factors: np.ndarray, which: np.ndarray, fewest: bool = False) -> np.ndarray:
        """Returns option numbers (F, A) with some axes at a share of what is wanted.

        Args:
            wanted: option numbers (A,).
            factors: the shares (F,).
            which: (A,) the axes that are scaled; the others are as wanted.
            fewest: whether the share is of what lies between an axis's first option and the wanted one, else of that.
        """
        axes = np.flatnonzero(which)
        pairs, sums, ends = self._pairs[axes], self._sums[axes], self._pairs[axes, wanted[axes]]
        starts = pairs[:, 0] if fewest else np.zeros_like(ends)
        targets = starts + factors[:, None, None] * (ends - starts)
        below = (pairs <= targets[:, :, None] + 1e-9).all(axis=3)
        # the largest option that is not above the target, or the smallest option
        values = np.where(below, sums - _lopsided(pairs, ends[:, None]), -np.inf)
        scaled = np.repeat(wanted[None], len(factors), axis=0)
        scaled[:, axes] = values.argmax(axis=2)
        return scaled

    def following(self, axis: int, option: int, wanted: int) -> tuple[int, int]:
        """Returns the next options of an axis, from one towards a later one: with more channels, which are both.

        Of bits, the first has more for weights and the second more for activations, where there are any.
        """
        if not self._space.is_bits[axis]:
            return option + 1, option + 1
        pairs, end = self._pairs[axis], self._pairs[axis, wanted]
        between = (pairs <= end).all(axis=1)
        between[: option + 1] = False
        if (pairs[option] <= end).all():
            between &= (pairs >= pairs[option]).all(axis=1)
        order = self._sums[axis] + _lopsided(pairs, end)
        more = between & (pairs > pairs[option]).T
        first, second = np.where(more, order, np.inf).argmin(axis=1).tolist()
        has_first, has_second = more.any(axis=1)
        return first if has_first else second, second if has_second else first

    def share(self, axes: np.ndarray, options: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Returns which shares of wanted options some options are; of equal ones the lopsided has a little more."""
        ends = self._pairs[axes, wanted]
        wide = self._sums[axes, options] + _lopsided(self._pairs[axes, options], ends)
        return np.asarray(wide / ends.sum(axis=1))


def _lopsided(pairs: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns (...) how unlike the shares of two numbers are, which is less than sums differ by; 0 for channels."""
    shares = pairs / ends
    return np.minimum(np.abs(shares[..., 0] - shares[..., 1]), 1) / 2
