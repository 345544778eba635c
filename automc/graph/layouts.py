"""How a layer's channels are arranged where only runs of them can go together: heads of attention, groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """A layer's channels as a row-major array, one axis of which counts what can be removed.

    Attributes:
        factors: the array's shape; (3, H, D) for a layer that makes queries, keys and values of H heads.
        axis: the axis that counts heads or groups.
    """

    factors: tuple[int, ...]
    axis: int

    @property
    def count(self) -> int:
        """How many heads or groups there are."""
        return self.factors[self.axis]

    @property
    def size(self) -> int:
        """How many channels there are."""
        return math.prod(self.factors)

    def positions(self, units: int) -> tuple[tuple[int, ...], ...]:
        """Returns, for each of so many units, a divisor of `count`, the channels that belong to it, ascending."""
        parts = np.split(np.arange(self.size).reshape(self.factors), units, axis=self.axis)
        return tuple(tuple(part.ravel().tolist()) for part in parts)


def relocated(before: Sequence[int], after: Sequence[int], dim: int) -> tuple[int, int] | None:
    """Returns where a view puts one dimension: the dimensions of ``after``, from and to, that it became.

    None where it is merged with others.
    """
    first, start = math.prod(before[:dim]), 0
    while start < len(after) and (math.prod(after[:start]) < first or after[start] == 1):
        start += 1
    if math.prod(after[:start]) != first:
        return None
    stop = start
    while stop < len(after) and math.prod(after[start:stop]) < before[dim]:
        stop += 1
    return (start, stop) if stop > start and math.prod(after[start:stop]) == before[dim] else None
