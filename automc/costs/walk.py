"""Prices around one policy after the other, each one axis away from the last."""

from __future__ import annotations

import numpy as np

from automc.costs.model import CostModel
from automc.costs.summands import Summands
from automc.graph.quantizers import Placement


class Walk:
    """Goes from policy to policy and prices what lies one axis away: what `CostModel.prices` says, but sooner.

    Only what depends on the axis is added up anew. Where an axis may change what runs in int8 elsewhere, and for
    memory, which is no sum, the cost model is asked.

    Args:
        model: prices policies.
        metric: which price.
        index: where to start, option numbers (A,).

    Attributes:
        price: of the policy where the walk stands.

    Raises:
        ValueError: the metric is not known, as latency without a table.
    """

    def __init__(self, model: CostModel, metric: str, index: np.ndarray) -> None:
        self._model, self._metric, self._space = model, metric, model.space
        self._summands = None if metric == "memory" else model.summands(metric)
        self._near: dict[int, _Near] = {}
        self._start: tuple[np.ndarray, float, Placement | None, np.ndarray | None] | None = None
        self.restart(index)

    @property
    def index(self) -> np.ndarray:
        """Where the walk stands: option numbers (A,), those inside dropped blocks as they were last moved."""
        return self._asked.copy()

    def restart(self, index: np.ndarray) -> None:
        """Goes to any policy (A,): at no cost to where it started, whence it came to where it is now."""
        self._asked = np.array(index, dtype=np.int64)
        self._index = self._space.canonical(self._asked)
        self._seen: tuple[int, np.ndarray, np.ndarray | None] | None = None
        self._placement: Placement | None = None
        self._amounts: np.ndarray | None = None
        if self._start is None or not np.array_equal(self._start[0], self._index):
            price = float(self._model.prices(self._index[None], [self._metric])[self._metric][0])
            amounts = self._now() if self._summands is not None else None
            self._start = self._index.copy(), price, self._placement, amounts
        _, self.price, self._placement, amounts = self._start
        self._amounts = None if amounts is None else amounts.copy()

    def options(self, axis: int) -> np.ndarray:
        """Returns the prices (O,) with one axis at each of its options and all else as it is."""
        if self._seen is None or self._seen[0] != axis:
            prices, amounts = self._look(axis)
            prices[self._index[axis]] = self.price  # to the last bit
            self._seen = axis, prices, amounts
        return self._seen[1].copy()

    def move(self, axis: int, option: int) -> None:
        """Goes where one axis is at another option."""
        price = float(self.options(axis)[option])
        assert self._seen is not None
        amounts, self._seen = self._seen[2], None
        self._asked[axis] = option
        if self._is_gone(axis):
            return
        self.price, near = price, self._near[axis]
        if near.owns:
            self._index = self._space.canonical(self._asked)
        else:
            self._index[axis] = option
        if amounts is not None and self._amounts is not None:
            self._amounts[near.which] = amounts[option]
        else:
            self._amounts = self._placement = None

    def _look(self, axis: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the prices of all options of an axis, and (O, summands) what then is added, where only few change."""
        if axis not in self._near:
            self._near[axis] = _Near(self._model, self._summands, axis)
        near = self._near[axis]
        if self._is_gone(axis):
            return np.full(near.size, self.price), None
        candidates = np.repeat((self._asked if near.owns else self._index)[None], near.size, axis=0)
        candidates[:, axis] = near.numbers
        if near.summands is None:
            return self._model.prices(candidates, [self._metric])[self._metric], None
        if near.owns:
            candidates = self._space.canonical(candidates)
        before = self._now()[near.which].sum()
        amounts = near.summands.of(candidates, self._placement)
        return amounts.sum(axis=1) + (self.price - before), amounts

    def _now(self) -> np.ndarray:
        """Returns (S,) what each summand adds where the walk stands."""
        assert self._summands is not None
        if self._amounts is None:
            index = self._index[None]
            self._placement = self._model.precisions.of(index) if self._summands.reads_placement else None
            self._amounts = self._summands.of(index, self._placement)[0]
        return self._amounts

    def _is_gone(self, axis: int) -> bool:
        owner = self._space.owners[axis]
        return owner >= 0 and self._asked[owner] == 0


class _Near:
    """What one axis changes.

    Attributes:
        size: how many options it has.
        numbers: (O,) these.
        owns: whether it drops a block.
        which: the numbers of the summands that it changes.
        summands: these; None where it may change any.
    """

    def __init__(self, model: CostModel, summands: Summands | None, axis: int) -> None:
        space = model.space
        self.size, self.owns = int(space.sizes[axis]), bool(space.is_depth[axis])
        self.numbers = np.arange(self.size)
        self.which, self.summands = np.zeros(0, dtype=np.int64), None
        if summands is not None and not (summands.reads_placement and model.precisions.moving[axis]):
            axes = [axis, *(number for number, owner in enumerate(space.owners) if owner == axis)]
            self.which = np.flatnonzero(summands.depends[:, axes].any(axis=1))
            self.summands = summands.only(self.which)
