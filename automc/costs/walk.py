"""One metric of one policy, as it is changed axis by axis."""

from __future__ import annotations

import numpy as np

from automc.costs.model import CostModel


class Walk:
    """Prices what one change makes of a policy.

    Args:
        model: prices policies.
        metric: what is asked for.
        index: option numbers (A,) to start from.
    """

    def __init__(self, model: CostModel, metric: str, index: np.ndarray) -> None:
        self._model, self._metric, self._index = model, metric, index.copy()

    def restart(self, index: np.ndarray) -> None:
        """Goes to any policy (A,)."""
        self._index = index.copy()

    @property
    def price(self) -> float:
        """The price of the policy as it stands."""
        return float(self._model.prices(self._index[None], [self._metric])[self._metric][0])

    def options(self, axis: int) -> np.ndarray:
        """Returns (O,) the prices with each option of an axis, all else as it stands."""
        size = int(self._model.space.sizes[axis])
        indices = np.repeat(self._index[None], size, axis=0)
        indices[:, axis] = np.arange(size)
        return self._model.prices(indices, [self._metric])[self._metric]

    def move(self, axis: int, option: int) -> None:
        """Takes an option of an axis."""
        self._index[axis] = option
