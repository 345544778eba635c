"""Predicted latency and energy: the sum over what a network runs, of many policies at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from automc.costs.macs import mac_terms
from automc.costs.precision import Precisions
from automc.graph import ModelGraph
from automc.graph.fusion import find_kernels, find_paddings, find_reshapes, is_free, joined_sums
from automc.graph.ops import OUTSIDE
from automc.graph.quantizers import Placement, find_sums
from automc.latency_tables import Hardware, Signature
from automc.latency_tables.kernels import changes_layout, edge_signature, reshape_signature, signature_of
from automc.latency_tables.signature import DEQUANTIZE, QUANTIZE
from automc.search_spaces import SearchSpace

_Runs = Callable[[Placement], np.ndarray]
_PRICES: dict[str, Callable[[Hardware, Signature], float | None]] = {
    "latency": lambda hardware, signature: hardware.cost(signature),
    "energy": lambda hardware, signature: hardware.energy(signature),
}


class Parts:
    """All that a network runs under any policy of a space; each part says for which policies it runs.

    Args:
        parts: these, in the order in which they run.
    """

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = parts
        self.names = [part.name for part in parts]

    def prices(
        self, indices: np.ndarray, placement: Placement, hardware: Hardware, metric: str = "latency"
    ) -> Iterator[np.ndarray]:
        """Yields the price (B,) of each part under policies (B, A): microseconds, overhead included, or microjoules."""
        return (part.prices(indices, placement, hardware, metric) for part in self._parts)

    def operators(self, index: np.ndarray, placement: Placement) -> list[tuple[str, Signature]]:
        """Returns what the network runs under one policy (A,) and its placement, each with its name."""
        return [(part.name, part.signature(index)) for part in self._parts if part.runs(index[None], placement)[0]]

    def all_signatures(self, grid: list[list[int]], combinations: int) -> list[Signature]:
        """Returns all that the network can run where each axis takes one of these options.

        Args:
            grid: for each axis.
            combinations: how many of each part at most; where there are more, fewer options are combined.
        """
        return sorted({signature for part in self._parts for signature in part.signatures(grid, combinations)})


class ProductModel(Parts):
    """What a network runs on hardware on which each layer has bits of its own and only products cost anything.

    A product that no choice of bits belongs to runs at the precision of a network as it is.

    Args:
        graph: the network.
        space: the space that the policies are from.
        reference: (weight bits, activation bits) of that precision.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, reference: tuple[int, int]) -> None:
        def as_it_is(op: int, dims: np.ndarray) -> Signature:
            return signature_of(graph, [op], dims).at_bits(*reference)

        columns = {axis.unit: column for column, axis in enumerate(space.axes) if axis.field == "bits"}
        parts = []
        for index, op in enumerate(graph.ops):
            if op.runs and mac_terms(op, graph.op_dims[index]):
                signature = partial(as_it_is, index)
                name = f"{op.module}:{signature(graph.dims).kind}"
                parts.append(_Part(graph, space, name, index, signature, _always, columns.get(op.module)))
        super().__init__(parts)


class LatencyModel(Parts):
    """What a network runs under the policies of a space, and how long that takes.

    A network runs its float kernels, its int8 operators and, where precision changes between two of them, a
    conversion. All of these that any policy has are parts here; each says for which policies it runs.

    Args:
        graph: the network.
        space: the space that the policies are from.
        precisions: which operators run in int8.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, precisions: Precisions) -> None:
        layers = {layer.ops[0]: layer.ops for layer in precisions.layers}
        units = layers | find_sums(graph.ops)
        fused = {op for ops in units.values() for op in ops[1:]}
        can = precisions.possible
        parts: list[_Part] = []

        def add(kind: str, op: int, signature: Callable[[np.ndarray], Signature], runs: _Runs) -> None:
            module = graph.ops[op].module if op != OUTSIDE else "input"
            parts.append(_Part(graph, space, f"{module}:{kind}", op, signature, runs))

        def add_ops(ops: Sequence[int], int8: bool, runs: _Runs) -> None:
            signature = partial(signature_of, graph, ops, int8=int8)
            add(signature(graph.dims).op, ops[0], signature, runs)

        kernels = find_kernels(graph.ops)
        joined = joined_sums(graph.ops, kernels)
        for kernel in kernels:
            added = next((op for op in kernel if op in joined), None)
            if added is None:
                add_ops(kernel, False, partial(_in_float, kernel[0]))
                for op in kernel[1:] if kernel[0] in layers else ():
                    if op not in layers[kernel[0]]:  # disappears in the layer in float only
                        add_ops([op], False, partial(_behind, kernel[0], op))
                continue
            add_ops(kernel, False, partial(_fused, added))
            add_ops(kernel[: kernel.index(added)], False, partial(_apart, kernel[0], added))
            for op in kernel[kernel.index(added) :]:
                add_ops([op], False, partial(_left_over, added, op))
        for index in find_reshapes(graph.ops):
            add("reshape", index, partial(reshape_signature, graph, index), _always)
        fused |= find_paddings(graph.ops)
        for index, each in enumerate(graph.ops):
            # layers in int8 have their channels last, whatever the network says
            free = index in fused or is_free(each) or changes_layout(each)
            if can.int8[index].any() and not free:
                add_ops(units.get(index, (index,)), True, partial(_in_int8, index))
        for row in np.flatnonzero(can.quantized.any(axis=1)).tolist():
            index = OUTSIDE if row == len(graph.ops) else row
            add(QUANTIZE, index, partial(edge_signature, graph, index, name=QUANTIZE), partial(_enters, row))
            add(DEQUANTIZE, index, partial(edge_signature, graph, index, name=DEQUANTIZE), partial(_leaves, row))
        super().__init__(parts)


def _always(placement: Placement) -> np.ndarray:
    return np.ones(placement.int8.shape[1], dtype=bool)


def _in_float(op: int, placement: Placement) -> np.ndarray:
    return ~placement.int8[op]


def _behind(head: int, op: int, placement: Placement) -> np.ndarray:
    return placement.int8[head] & ~placement.int8[op]


def _in_int8(op: int, placement: Placement) -> np.ndarray:
    return placement.int8[op]


def _fused(added: int, placement: Placement) -> np.ndarray:
    return placement.fused[added]


def _apart(first: int, added: int, placement: Placement) -> np.ndarray:
    return ~placement.int8[first] & ~placement.fused[added]


def _left_over(added: int, op: int, placement: Placement) -> np.ndarray:
    return ~placement.fused[added] & ~placement.int8[op]


def _enters(row: int, placement: Placement) -> np.ndarray:
    return placement.enters[row]


def _leaves(row: int, placement: Placement) -> np.ndarray:
    return placement.leaves[row]


def spread(options: Sequence[int], most: int) -> list[int]:
    """Returns at most so many of the options, spread evenly, ends included."""
    places = np.linspace(0, len(options) - 1, min(len(options), most)).round().astype(int)
    return [options[place] for place in sorted(set(places.tolist()))]


class _Part:
    """Something that a network may run: its price under any choice on the axes that it depends on, looked up once."""

    def __init__(
        self,
        graph: ModelGraph,
        space: SearchSpace,
        name: str,
        op: int,
        signature: Callable[[np.ndarray], Signature],
        runs: _Runs,
        bits: int | None = None,
    ) -> None:
        self.name, self._graph, self._space, self._signature, self._runs = name, graph, space, signature, runs
        parts = graph.op_dims[op] if op != OUTSIDE else ()
        columns = [column for part in parts for column in range(part.start, part.stop)]
        rows = {group.name: row for row, group in enumerate(graph.prunable)}
        self._axes = [
            axis
            for axis, a in enumerate(space.axes)
            if a.field == "channels" and graph.slopes[rows[a.unit], columns].any()
        ]
        self._owner = owner_of(space, graph.ops[op].module) if op != OUTSIDE else -1
        self._rows = [rows[space.axes[axis].unit] for axis in self._axes]
        self._bits = bits
        self._axes += [] if bits is None else [bits]
        sizes = space.sizes[self._axes]
        self._strides = np.append(np.cumprod(sizes[::-1])[::-1][1:], 1).astype(np.int64)[: len(sizes)]
        self._combinations = int(np.prod(sizes))
        self._known: dict[str, np.ndarray] = {}

    def runs(self, indices: np.ndarray, placement: Placement) -> np.ndarray:
        """Says for which policies (B, A) it runs at all."""
        runs = self._runs(placement)
        return runs & (indices[:, self._owner] > 0) if self._owner >= 0 else np.broadcast_to(runs, len(indices))

    def signature(self, index: Sequence[int] | np.ndarray) -> Signature:
        """Returns its signature under one policy (A,)."""
        dims = self._graph.dims.copy()
        for axis, row in zip(self._axes, self._rows, strict=False):  # the last axis may be that of the bits
            options = self._space.axes[axis].options
            dims -= (options[-1] - options[index[axis]]) * self._graph.slopes[row]
        signature = self._signature(dims)
        return (
            signature
            if self._bits is None
            else signature.at_bits(*self._space.axes[self._bits].options[index[self._bits]])
        )

    def signatures(self, grid: list[list[int]], combinations: int) -> list[Signature]:
        """Returns the signatures at all combinations of these options, of fewer where these would be very many."""
        index = np.array(self._space.full)
        found = []
        each = max(2, int(combinations ** (1 / max(len(self._axes), 1)) + 1e-9))
        for combination in itertools.product(*(spread(grid[axis], each) for axis in self._axes)):
            index[self._axes] = combination
            found.append(self.signature(index))
        return found

    def prices(self, indices: np.ndarray, placement: Placement, hardware: Hardware, metric: str) -> np.ndarray:
        """Returns prices (B,): latency in microseconds, overhead of the kernel included, or energy in microjoules."""
        runs = self.runs(indices, placement)
        keys = indices[:, self._axes] @ self._strides
        known = self._known.setdefault(metric, np.full(self._combinations, np.nan))
        unknown = runs & np.isnan(known[keys])
        if unknown.any():
            for key, row in zip(*np.unique(keys[unknown], return_index=True), strict=True):
                known[key] = _PRICES[metric](hardware, self.signature(indices[np.flatnonzero(unknown)[row]]))
        return np.where(runs, known[keys], 0.0)


def owner_of(space: SearchSpace, module: str) -> int:
    """Returns the axis of the droppable block that a module lies in, or -1."""
    for index, axis in enumerate(space.axes):
        if axis.field == "keep" and (module == axis.unit or module.startswith(axis.unit + ".")):
            return index
    return -1
