"""Which operators of many policies run in int8, and where their tensors change precision."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from automc.graph import ModelGraph
from automc.graph.quantizers import Placement, Quantizers
from automc.search_spaces import SearchSpace
from automc.search_spaces.policy import INT8_BITS


class Precisions:
    """The placement of quantizers under the policies of a space.

    Args:
        graph: the network.
        space: the space that the policies are from.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace) -> None:
        self._space = space
        searched = {axis.unit: column for column, axis in enumerate(space.axes) if axis.field == "bits"}
        self._bits = {
            unit: (column, np.array([option == INT8_BITS for option in space.axes[column].options]))
            for unit, column in searched.items()
        }
        self._kept = {axis.unit: column for column, axis in enumerate(space.axes) if axis.field == "keep"}
        self.layers = graph.layers if searched else ()
        self._quantizers = Quantizers(graph.ops, self.layers, list(self._kept))

    def of(self, indices: np.ndarray) -> Placement:
        """Returns the placement under policies given as option numbers (B, A)."""
        never = np.zeros(len(indices), dtype=bool)
        asked = {unit: is_int8[indices[:, column]] for unit, (column, is_int8) in self._bits.items()}
        return self._quantizers.place(
            {layer.name: asked.get(layer.name, never) for layer in self.layers},
            {block: indices[:, column] > 0 for block, column in self._kept.items()},
        )

    @cached_property
    def possible(self) -> Placement:
        """What can run in int8 at all: with all layers in int8, and with each block dropped in turn."""
        indices = np.repeat(self._space.full[None], 1 + len(self._kept), axis=0)
        for column, is_int8 in self._bits.values():
            indices[:, column] = is_int8.argmax()
        for row, column in enumerate(self._kept.values(), start=1):
            indices[row, column] = 0
        return self.of(self._space.canonical(indices))
