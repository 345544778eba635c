"""What adds up to a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np

from automc.costs.factors import Factor
from automc.graph.quantizers import Placement


class Summands(ABC):
    """The summands of a metric under any policy of a space.

    Attributes:
        names: what each is of.
        depends: (S, A) whether each depends on each axis, were the placement to stay as it is.
        reads_placement: whether any of them depends on what runs in int8.
        constant: what is added to them.
    """

    names: list[str]
    depends: np.ndarray
    reads_placement: bool
    constant: float = 0.0

    @abstractmethod
    def of(self, indices: np.ndarray, placement: Placement | None) -> np.ndarray:
        """Returns them (B, S) under canonical policies (B, A) and their placement, which is None if nobody reads it."""

    @abstractmethod
    def only(self, which: np.ndarray) -> Self:
        """Returns some of them (their numbers, ascending) by themselves."""

    @abstractmethod
    def factors(self, full: np.ndarray, options: Sequence[np.ndarray], signals: Placement) -> Iterator[Factor]:
        """Yields what they and nothing else add, under every policy that takes some options.

        Args:
            full: (A,) the last option of each axis.
            options: for each axis, the numbers of those that are looked at.
            signals: the placement of every policy, see `Precisions.signals`.

        Raises:
            TableError: the price of one is not known.
        """

    def prices(self, indices: np.ndarray, placement: Placement | None) -> np.ndarray:
        """Returns their sums (B,)."""
        # rows one after the other in memory are added up in one order, however many there are
        return np.asarray(np.ascontiguousarray(self.of(indices, placement)).sum(axis=1) + self.constant)
