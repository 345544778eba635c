"""Decisions: the axes of a space, one number each. Bits of weights and of activations are two decisions on one axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from automc.search_spaces import Axis, SearchSpace

Kind = Literal["keep", "channels", "bits", "weight_bits", "activation_bits"]


@dataclass(frozen=True)
class Decision:
    """One number that an environment asks for.

    Attributes:
        axis: the axis of the space that it is about.
        unit: that axis's unit.
        kind: what is decided; ``bits`` where weights and activations go together.
        values: (O,) the options, ascending.
        positions: (O,) where each option lies in [0, 1], ascending.
    """

    axis: int
    unit: str
    kind: Kind
    values: np.ndarray
    positions: np.ndarray
    _pairs: np.ndarray | None = field(default=None, repr=False)  # (options of the axis, 2), for half an axis

    @property
    def name(self) -> str:
        """A name that no other decision of a space has."""
        return f"{self.unit}.{self.kind}"

    def choose(self, index: np.ndarray, option: int) -> None:
        """Sets an option in option numbers (A,).

        Weights decide before activations do, which are then the most bits that go with them; activations take the
        nearest that these weights have.
        """
        if self._pairs is None:
            index[self.axis] = option
            return
        column = int(self.kind == "activation_bits")
        wanted, weights = self.values[option], self._pairs[index[self.axis], 0] if column else self.values[option]
        rows = np.flatnonzero(self._pairs[:, 0] == weights)
        activations = self._pairs[rows, 1]
        index[self.axis] = rows[np.abs(activations - wanted).argmin() if column else activations.argmax()]

    def chosen(self, index: np.ndarray) -> int:
        """Returns which option some option numbers (A,) take."""
        if self._pairs is None:
            return int(index[self.axis])
        value = self._pairs[index[self.axis], int(self.kind == "activation_bits")]
        return int(np.searchsorted(self.values, value))


def decisions(space: SearchSpace) -> Iterator[Decision]:
    """Yields what there is to decide, axis by axis: blocks first, then widths, then bits, as in the space.

    The options of a decision have equal parts of [0, 1], and their positions are the middles of these.
    """
    for number, axis in enumerate(space.axes):
        yield from _of_axis(number, axis)


def _of_axis(number: int, axis: Axis) -> Iterator[Decision]:
    if axis.field != "bits":
        kind: Kind = "keep" if axis.field == "keep" else "channels"
        yield Decision(number, axis.unit, kind, np.array(axis.options, dtype=int), evenly(len(axis.options)))
        return
    pairs = np.array(axis.options)
    weights, activations = np.unique(pairs[:, 0]), np.unique(pairs[:, 1])
    if len(weights) == len(pairs):  # the weights' bits say what the activations have
        yield Decision(number, axis.unit, "bits", pairs[:, 0], evenly(len(pairs)))
        return
    yield Decision(number, axis.unit, "weight_bits", weights, evenly(len(weights)), pairs)
    yield Decision(number, axis.unit, "activation_bits", activations, evenly(len(activations)), pairs)


def evenly(count: int) -> np.ndarray:
    """Returns the middles of equal parts of [0, 1]."""
    return (np.arange(count) + 0.5) / count
