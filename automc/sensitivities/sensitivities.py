"""The value: one number for each option of each axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automc.search_spaces import SearchSpace


@dataclass(frozen=True)
class Sensitivities:
    """How much a network's outputs change when one axis alone takes an option, all else staying as it is.

    Attributes:
        space: whose axes these are.
        harms: for each axis (O,), its options' harm: the squared change of the network's outputs as a share of their
            own variance, after recovery; 0 for the last option, which leaves the network as it is, and never negative.
        measured: for each axis (O,), which of these were measured; the others were estimated between them.
    """

    space: SearchSpace
    harms: tuple[np.ndarray, ...]
    measured: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        """Raises ValueError where harms are not those of the space's options."""
        for axis, harms, measured in zip(self.space.axes, self.harms, self.measured, strict=True):
            if measured.shape != harms.shape:
                raise ValueError(f"{axis.name}: what was measured is said of each option")
            if harms.shape != (len(axis.options),) or not np.isfinite(harms).all() or (harms < 0).any() or harms[-1]:
                raise ValueError(f"{axis.name}: harms are one number from 0 on for each option, and 0 for the last")

    def of(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Returns what policies, given as option numbers (..., A), are expected to do: (...,) the sum over axes.

        Axes inside a dropped block add nothing beside the block itself.
        """
        indices = self.space.canonical(np.asarray(indices))
        return np.asarray(sum(harms[indices[..., axis]] for axis, harms in enumerate(self.harms)))
