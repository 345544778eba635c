"""The cost model: MACs, parameters, bytes and latency of policies, many at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automc.costs.macs import mac_terms
from automc.graph import ModelGraph
from automc.latency_tables import Kernel, LatencyTable, Signature, find_kernels
from automc.latency_tables.kernels import shapes_at
from automc.search_spaces import Policy, SearchSpace

METRICS = ("latency", "macs", "params", "size")


@dataclass(frozen=True)
class Cost:
    """What one policy costs.

    Attributes:
        macs: multiply-accumulates for one example.
        params: parameters.
        size: bytes of parameters and buffers.
        latency: microseconds for one inference of the device's batch; None without a latency table.
    """

    macs: float
    params: float
    size: float
    latency: float | None = None

    def get(self, metric: str) -> float:
        """Returns one metric by name; raises ValueError for latency without a table."""
        value = getattr(self, metric)
        if value is None:
            raise ValueError("no latency without a latency table")
        return float(value)


class CostModel:
    """Prices policies of a space without building them.

    MACs, parameters and bytes are exact; latency is the sum over the table's entries plus the runtime's overhead.

    Args:
        graph: the network.
        space: the space that the policies are from.
        table: latencies; without it, `metrics` has no latency.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, table: LatencyTable | None = None) -> None:
        self.graph, self.space, self.table = graph, space, table
        self.metrics = METRICS if table is not None else METRICS[1:]
        self._kernels = [_KernelPrices(graph, space, kernel) for kernel in find_kernels(graph)]
        columns, names, rows = [], [], []
        scale = {"macs": 1 / graph.batch}
        for index, op in enumerate(graph.ops):
            for term in mac_terms(op, graph.op_dims[index]):
                columns.append(term)
                names.append(op.module)
                rows.append((scale["macs"], 0.0, 0.0))
        for weight, part in zip(graph.weights, graph.weight_dims, strict=True):
            columns.append(tuple(range(part.start, part.stop)))
            names.append(weight.name)
            rows.append((0.0, float(weight.trainable), float(weight.itemsize)))
        self._names = names
        self._coefficients = np.array(rows)  # (terms, [macs, params, size])
        self._owners = np.array([_owner(space, name) for name in names])
        # a last column of ones fills up products of fewer factors
        used = sorted({column for term in columns for column in term})
        place = {column: index for index, column in enumerate(used)}
        longest = max(map(len, columns), default=0)
        self._factors = np.array(
            [[place[c] for c in term] + [len(used)] * (longest - len(term)) for term in columns], dtype=np.int64
        )
        self._dims = np.append(graph.dims[used], 1).astype(float)
        rank = {group.name: row for row, group in enumerate(graph.prunable)}
        self._widths = [
            (axis, np.array(a.options[-1] - np.array(a.options), dtype=float), rank[a.unit])
            for axis, a in enumerate(space.axes)
            if a.field == "channels"
        ]
        self._slopes = np.pad(graph.slopes[:, used], ((0, 0), (0, 1))).astype(float)

    def cost(self, policy: Policy) -> Cost:
        """Returns the cost of one policy."""
        prices = self.prices(self.space.encode(policy)[None])
        return Cost(**{metric: float(values[0]) for metric, values in prices.items()})

    def prices(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Returns, for each metric, the costs (B,) of policies given as option numbers (B, A)."""
        indices = self.space.canonical(indices)
        terms = self._terms(indices) @ self._coefficients
        prices = {"macs": terms[:, 0], "params": terms[:, 1], "size": terms[:, 2]}
        if self.table is not None:
            prices["latency"] = self._latency(indices).sum(axis=1) + self.table.overhead.run
        return prices

    def breakdown(self, index: np.ndarray, metric: str) -> dict[str, float]:
        """Returns how much of one policy's cost each module or kernel has, largest first."""
        index = self.space.canonical(index)[None]
        if metric == "latency":
            pairs = zip((kernel.name for kernel in self._kernels), self._latency(index)[0], strict=True)
        else:
            values = self._terms(index)[0] * self._coefficients[:, METRICS[1:].index(metric)]
            pairs = zip((name.removesuffix(".weight") for name in self._names), values, strict=True)
        parts: dict[str, float] = {}
        for name, value in pairs:
            parts[name] = parts.get(name, 0.0) + float(value)
        return dict(sorted(parts.items(), key=lambda item: -item[1]))

    def signatures(self, index: np.ndarray) -> list[Signature]:
        """Returns the operators that the network runs under one policy, in order."""
        index = self.space.canonical(index)
        return [kernel.signature(index) for kernel in self._kernels if kernel.runs(index[None])[0]]

    def all_signatures(self, most: int = 8) -> list[Signature]:
        """Returns the operators that the space can produce.

        Args:
            most: options taken of each axis, spread evenly, ends included; a table interpolates between them.
        """
        grid = [sorted(set(np.linspace(0, size - 1, min(size, most)).round().astype(int))) for size in self.space.sizes]
        return sorted({signature for kernel in self._kernels for signature in kernel.signatures(grid)})

    def _terms(self, indices: np.ndarray) -> np.ndarray:
        removed = np.zeros((len(indices), len(self._slopes)))
        for axis, fewer, row in self._widths:
            removed[:, row] = fewer[indices[:, axis]]
        dims = self._dims - removed @ self._slopes
        products = dims[:, self._factors].prod(axis=2)
        return products * _present(indices, self._owners)

    def _latency(self, indices: np.ndarray) -> np.ndarray:
        assert self.table is not None
        return np.stack([kernel.prices(indices, self.table) for kernel in self._kernels], axis=1)


class _KernelPrices:
    """One kernel's latency under any choice on the axes that it depends on; each combination is looked up once."""

    def __init__(self, graph: ModelGraph, space: SearchSpace, kernel: Kernel) -> None:
        self._graph, self._space, self._kernel = graph, space, kernel
        op = graph.ops[kernel.ops[0]]
        self.name = f"{op.module}:{'+'.join(kernel.names)}"
        self._owner = _owner(space, op.module)
        parts = graph.op_dims[kernel.ops[0]]
        columns = [column for part in parts for column in range(part.start, part.stop)]
        rows = {group.name: row for row, group in enumerate(graph.prunable)}
        self._axes = [
            axis
            for axis, a in enumerate(space.axes)
            if a.field == "channels" and graph.slopes[rows[a.unit], columns].any()
        ]
        self._rows = [rows[space.axes[axis].unit] for axis in self._axes]
        self._strides = np.append(np.cumprod(space.sizes[self._axes][::-1])[::-1][1:], 1).astype(np.int64)
        self._known: dict[int, float] = {}

    def runs(self, indices: np.ndarray) -> np.ndarray:
        """Says for which policies (B, A) the kernel runs at all."""
        return _present(indices, np.array([self._owner]))[:, 0]

    def signature(self, index: Sequence[int] | np.ndarray) -> Signature:
        """Returns the kernel's signature under one policy (A,)."""
        dims = self._graph.dims.copy()
        for axis, row in zip(self._axes, self._rows, strict=True):
            options = self._space.axes[axis].options
            dims -= (options[-1] - options[index[axis]]) * self._graph.slopes[row]
        return self._kernel.signature(self._graph.ops[self._kernel.ops[0]], shapes_at(self._graph, self._kernel, dims))

    def signatures(self, grid: list[list[int]]) -> list[Signature]:
        """Returns the signatures at all combinations of these options."""
        index = np.array(self._space.full)
        found = []
        for combination in itertools.product(*(grid[axis] for axis in self._axes)):
            index[self._axes] = combination
            found.append(self.signature(index))
        return found

    def prices(self, indices: np.ndarray, table: LatencyTable) -> np.ndarray:
        """Returns latencies (B,) in microseconds, overhead of the kernel included."""
        keys, first, inverse = np.unique(
            indices[:, self._axes] @ self._strides[: len(self._axes)], return_index=True, return_inverse=True
        )
        values = np.empty(len(keys))
        for position, (key, row) in enumerate(zip(keys.tolist(), first, strict=True)):
            if key not in self._known:
                entry = table.lookup(self.signature(indices[row]))
                # a profile rounds to microseconds: a kernel may be all overhead, never less than nothing
                self._known[key] = max(entry.us + table.overhead.kernel, 0.0)
            values[position] = self._known[key]
        return values[inverse] * self.runs(indices)


def _owner(space: SearchSpace, module: str) -> int:
    """Returns the axis of the droppable block that a module lies in, or -1."""
    for index, axis in enumerate(space.axes):
        if axis.field == "keep" and (module == axis.unit or module.startswith(axis.unit + ".")):
            return index
    return -1


def _present(indices: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Returns (B, len(owners)): 1 where the owning block stays or there is none, else 0."""
    return np.where(owners >= 0, indices[:, owners], 1)
