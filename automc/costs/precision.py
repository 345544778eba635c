"""Which operators of many policies run in int8, where tensors change precision, how many bits weights have."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from automc.graph import ModelGraph
from automc.graph.quantizers import Placement, Quantizers
from automc.search_spaces import SearchSpace
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS


class Precisions:
    """The placement of quantizers under the policies of a space.

    Args:
        graph: the network.
        space: the space that the policies are from.

    Attributes:
        layers: the layers that can run in int8; none where the space has no bits.
        lowered: those whose weights can have fewer bits, each with the BatchNorm that is folded into it then.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace) -> None:
        self._space = space
        self._columns = {axis.unit: column for column, axis in enumerate(space.axes) if axis.field == "bits"}
        self._options = {unit: np.array(space.axes[column].options) for unit, column in self._columns.items()}
        self._int8 = {unit: (options == INT8_BITS).all(axis=1) for unit, options in self._options.items()}
        self._float = {unit: (options == FLOAT_BITS).all(axis=1) for unit, options in self._options.items()}
        self._apart = [unit for unit in self._columns if not (self._int8[unit] | self._float[unit]).all()]
        self._kept = {axis.unit: column for column, axis in enumerate(space.axes) if axis.field == "keep"}
        self.layers = graph.layers if self._columns else ()
        self._heads = {layer.name: layer.ops[0] for layer in self.layers}
        self.lowered: dict[str, str | None] = {layer.name: layer.norm for layer in self.layers}
        self.lowered |= {layer.name: layer.norm for layer in graph.weighted if layer.name in self._columns}
        self._quantizers = Quantizers(graph.ops, self.layers, list(self._kept))

    def of(self, indices: np.ndarray) -> Placement:
        """Returns the placement under policies given as option numbers (B, A)."""
        never = np.zeros(len(indices), dtype=bool)
        asked = {unit: is_int8[indices[:, self._columns[unit]]] for unit, is_int8 in self._int8.items()}
        return self._quantizers.place(
            {layer.name: asked.get(layer.name, never) for layer in self.layers},
            {block: indices[:, column] > 0 for block, column in self._kept.items()},
            {unit: self._simulated(unit, indices) for unit in self._apart},
        )

    def weight_bits(self, indices: np.ndarray, placement: Placement) -> np.ndarray:
        """Returns (B, L) the bits of the weights of each layer of `lowered`; a dropped one counts as float."""
        bits = np.full((len(indices), len(self.lowered)), FLOAT_BITS)
        for row, name in enumerate(self.lowered):
            if name in self._apart:
                chosen = self._options[name][indices[:, self._columns[name]], 0]
                bits[:, row] = np.where(self._simulated(name, indices), chosen, FLOAT_BITS)
            if name in self._heads:
                bits[placement.int8[self._heads[name]], row] = INT8_BITS[0]
        return bits

    def quantizers(self, indices: np.ndarray, placement: Placement) -> np.ndarray:
        """Returns (B,) how many quantizers activations go through: behind operators, and before simulated layers."""
        count = placement.placed.sum(axis=0) + np.zeros(len(indices), dtype=np.int64)
        for name in self._apart:
            reads = self._options[name][indices[:, self._columns[name]], 1] < FLOAT_BITS
            count += self._simulated(name, indices) & reads
        return count

    def _simulated(self, unit: str, indices: np.ndarray) -> np.ndarray:
        """Returns (B,) whether a layer has bits that the runtime has no kernels for."""
        return ~(self._int8[unit] | self._float[unit])[indices[:, self._columns[unit]]]

    @cached_property
    def possible(self) -> Placement:
        """What can run in int8 at all: with all layers in int8, and with each block dropped in turn."""
        indices = np.repeat(self._space.full[None], 1 + len(self._kept), axis=0)
        for unit, is_int8 in self._int8.items():
            if is_int8.any():
                indices[:, self._columns[unit]] = is_int8.argmax()
        for row, column in enumerate(self._kept.values(), start=1):
            indices[row, column] = 0
        return self.of(self._space.canonical(indices))
