"""Which operators of many policies run in int8, where tensors change precision, how many bits weights have."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from automc.costs.signals import Signal, chosen
from automc.graph import ModelGraph
from automc.graph.ops import OUTSIDE
from automc.graph.quantizers import Placement, Quantizers
from automc.search_spaces import SearchSpace
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS

_FLOAT = (FLOAT_BITS, FLOAT_BITS)
_KINDS = {_FLOAT: 0, INT8_BITS: 1}


class Precisions:
    """The placement of quantizers under the policies of a space.

    Args:
        graph: the network.
        space: the space that the policies are from.

    Attributes:
        layers: the layers that can run in int8; none where the space has no bits.
        lowered: those whose weights can have fewer bits, each with the BatchNorm that is folded into it then.
        moving: (A,) whether the placement may depend on an axis.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace) -> None:
        self._space = space
        columns = {axis.unit: column for column, axis in enumerate(space.axes) if axis.field == "bits"}
        options = {unit: np.array(space.axes[column].options) for unit, column in columns.items()}
        self._int8 = {unit: (columns[unit], (pairs == INT8_BITS).all(axis=1)) for unit, pairs in options.items()}
        self._kept = {axis.unit: column for column, axis in enumerate(space.axes) if axis.field == "keep"}
        self.layers = graph.layers if columns else ()
        self.lowered: dict[str, str | None] = {layer.name: layer.norm for layer in self.layers}
        self.lowered |= {layer.name: layer.norm for layer in graph.weighted if layer.name in columns}
        rows = {name: row for row, name in enumerate(self.lowered)}
        # the bits of each layer that may be simulated, (U, most options, 2); those of int8 and float are float's here
        self._apart = [unit for unit, pairs in options.items() if set(map(tuple, pairs)) - {INT8_BITS, _FLOAT}]
        self._apart_columns = [columns[unit] for unit in self._apart]
        self._simulated = np.full((len(self._apart), max(map(len, options.values()), default=0), 2), FLOAT_BITS)
        for table, unit in zip(self._simulated, self._apart, strict=True):
            table[: len(options[unit])] = np.where(self._int8[unit][1][:, None], FLOAT_BITS, options[unit])
        # of each layer of `lowered`: its row in that table, the last of which is float, its axis, and its operator
        self._tables = np.full(len(rows), -1)
        self._columns = np.zeros(len(rows), dtype=np.int64)
        self._heads = np.full(len(rows), OUTSIDE)  # the network's input, which never is in int8
        for row, unit in enumerate(self._apart):
            self._tables[rows[unit]], self._columns[rows[unit]] = row, columns[unit]
        for layer in self.layers:
            self._heads[rows[layer.name]] = layer.ops[0]
        self._weights = np.full((len(self._apart) + 1, int(space.sizes.max())), FLOAT_BITS)
        self._weights[:-1, : self._simulated.shape[1]] = self._simulated[:, :, 0]
        self._quantizers = Quantizers(graph.ops, self.layers, list(self._kept))
        lowers = any(is_int8.any() for _, is_int8 in self._int8.values())
        self.moving = (space.is_bits & lowers) | (space.is_depth & (lowers or self._quantizers.joins))
        self._moving = np.flatnonzero(self.moving)
        # (M, most options) what the placement is to know of an option: kept or not; float, int8 or simulated
        self._kinds = np.repeat(np.arange(int(space.sizes.max()))[None], len(self._moving), axis=0)
        for row, column in zip(self._kinds, self._moving, strict=True):
            if space.is_bits[column]:
                kinds = [_KINDS.get(option, len(_KINDS)) for option in space.axes[column].options]
                row[: len(kinds)] = kinds
        self._last: tuple[bytes, Placement] | None = None

    def of(self, indices: np.ndarray) -> Placement:
        """Returns the placement under policies given as option numbers (B, A)."""
        choices = self._kinds[np.arange(len(self._moving)), indices[:, self._moving]]
        if not len(indices) or not (choices == choices[:1]).all():
            return self._place(indices)
        # policies that differ in widths or simulated bits only have one, and as a rule that of those before
        key, last = choices[:1].tobytes(), self._last
        if last is None or last[0] != key:
            self._last = last = key, self._place(indices[:1])
        return last[1].repeated(len(indices))

    def signals(self) -> Placement:
        """Returns the placement (O + 1, 1) under any canonical policy, in signals instead of flags."""
        return self._placed(lambda column, said: np.array([chosen(column, said)], dtype=object))

    def _place(self, indices: np.ndarray) -> Placement:
        return self._placed(lambda column, said: said[indices[:, column]])

    def _placed(self, flags: Callable[[int, np.ndarray], np.ndarray]) -> Placement:
        """Returns the placement from which policies take, on one axis (its number), options of which it is said."""
        sizes = self._space.sizes
        asked = {unit: flags(column, is_int8) for unit, (column, is_int8) in self._int8.items()}
        never = flags(0, np.zeros(sizes[0], dtype=bool))
        return self._quantizers.place(
            {layer.name: asked.get(layer.name, never) for layer in self.layers},
            {block: flags(column, np.arange(sizes[column]) > 0) for block, column in self._kept.items()},
            {
                unit: flags(column, (bits < FLOAT_BITS).any(axis=1)[: sizes[column]])
                for unit, column, bits in zip(self._apart, self._apart_columns, self._simulated, strict=True)
            },
        )

    def weight_bits(self, indices: np.ndarray, placement: Placement, layers: np.ndarray) -> np.ndarray:
        """Returns (B, L) the bits of the weights of some layers of `lowered`, by number; dropped ones are in float."""
        bits = self._weights[self._tables[layers], indices[:, self._columns[layers]]]
        return np.where(placement.int8[self._heads[layers]].T, INT8_BITS[0], bits)

    def axes_of(self, layers: np.ndarray) -> np.ndarray:
        """Returns (L, A) whether the bits of layers of `lowered` depend on each axis, were the placement to stay."""
        found = np.zeros((len(layers), len(self._space.axes)), dtype=bool)
        found[np.arange(len(layers)), self._columns[layers]] = self._tables[layers] >= 0
        return found

    def weights_of(self, layer: int, signals: Placement) -> tuple[Signal | int, int, np.ndarray]:
        """Returns what `weight_bits` says of one layer under every policy.

        Returns:
            When it runs in int8; the axis of its simulated bits, and its weights' bits there by option where it does
            not run in int8; no bits where it is in float then.
        """
        table, axis = int(self._tables[layer]), int(self._columns[layer])
        bits = self._weights[table] if table >= 0 else np.zeros(0, dtype=np.int64)
        return signals.int8[self._heads[layer], 0], axis, bits

    def read_by_option(self) -> list[tuple[int, np.ndarray]]:
        """Returns, for layers that may be simulated, the axis and the bits of activations they read, by its option."""
        return [(axis, bits[:, 1]) for axis, bits in zip(self._apart_columns, self._simulated, strict=True)]

    def quantizers(self, indices: np.ndarray, placement: Placement) -> np.ndarray:
        """Returns (B,) how many quantizers activations go through: behind operators, and before simulated layers."""
        before = self._simulated_bits(indices)[:, :, 1] < FLOAT_BITS
        return placement.placed.sum(axis=0) + before.sum(axis=1)

    def read_in(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Returns, for layers that may be simulated, (B,) the bits of the activations that they read; 32 for float."""
        return dict(zip(self._apart, self._simulated_bits(indices)[:, :, 1].T, strict=True))

    def _simulated_bits(self, indices: np.ndarray) -> np.ndarray:
        """Returns (B, U, 2) the bits of layers that may be simulated; 32 where they are not."""
        return self._simulated[np.arange(len(self._apart)), indices[:, self._apart_columns]]

    @cached_property
    def possible(self) -> Placement:
        """What can run in int8 at all: with all layers in int8, and with each block dropped in turn."""
        indices = np.repeat(self._space.full[None], 1 + len(self._kept), axis=0)
        for column, is_int8 in self._int8.values():
            if is_int8.any():
                indices[:, column] = is_int8.argmax()
        for row, column in enumerate(self._kept.values(), start=1):
            indices[row, column] = 0
        return self.of(self._space.canonical(indices))
