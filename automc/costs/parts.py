"""The parts that a network may run, and the sum of their latencies or energies for many policies at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from copy import copy

import numpy as np

from automc.costs.factors import Factor, combinations
from automc.costs.signals import both, chosen
from automc.costs.summands import Summands
from automc.graph import ModelGraph
from automc.graph.ops import OUTSIDE
from automc.graph.quantizers import Placement
from automc.latency_tables import Hardware, Signature
from automc.search_spaces import SearchSpace

When = tuple[tuple[str, int, bool], ...]
"""When something runs: all of these hold; each names a table of the `Placement`, its row, and what it has to say."""

_TABLES = ("int8", "fused", "enters", "leaves")

_PRICES: dict[str, Callable[[Hardware, Signature], float | None]] = {
    "latency": lambda hardware, signature: hardware.cost(signature),
    "energy": lambda hardware, signature: hardware.energy(signature),
}


def spread(options: Sequence[int], most: int) -> list[int]:
    """Returns at most so many of the options, spread evenly, ends included."""
    places = np.linspace(0, len(options) - 1, min(len(options), most)).round().astype(int)
    return [options[place] for place in sorted(set(places.tolist()))]


class Part:
    """Something that a network may run: its signature under any choice on the axes that it depends on.

    Attributes:
        name: the module that it is in, and its kind.
        when: under which placements it runs.
        owner: the axis of the block that it is in, or -1.
        axes: those that its signature depends on.
        strides: for each of these; option numbers times strides number the signatures.
        combinations: how many these are.
    """

    def __init__(
        self,
        graph: ModelGraph,
        space: SearchSpace,
        name: str,
        op: int,
        signature: Callable[[np.ndarray], Signature],
        when: When,
        bits: int | None = None,
    ) -> None:
        self.name, self._graph, self._space, self._signature, self.when = name, graph, space, signature, when
        parts = graph.op_dims[op] if op != OUTSIDE else ()
        columns = [column for part in parts for column in range(part.start, part.stop)]
        rows = {group.name: row for row, group in enumerate(graph.prunable)}
        self.axes = [
            axis
            for axis, a in enumerate(space.axes)
            if a.field == "channels" and graph.slopes[rows[a.unit], columns].any()
        ]
        self.owner = owner_of(space, graph.ops[op].module) if op != OUTSIDE else -1
        self._rows = [rows[space.axes[axis].unit] for axis in self.axes]
        self._bits = bits
        self.axes += [] if bits is None else [bits]
        sizes = space.sizes[self.axes]
        self.strides = np.append(np.cumprod(sizes[::-1])[::-1][1:], 1).astype(np.int64)[: len(sizes)]
        self.combinations = int(np.prod(sizes))

    def runs(self, indices: np.ndarray, placement: Placement) -> np.ndarray:
        """Says for which policies (B, A) it runs at all."""
        runs = indices[:, self.owner] > 0 if self.owner >= 0 else np.ones(len(indices), dtype=bool)
        for table, row, said in self.when:
            runs = runs & (getattr(placement, table)[row] == said)
        return runs

    def signature(self, index: Sequence[int] | np.ndarray) -> Signature:
        """Returns its signature under one policy (A,)."""
        dims = self._graph.dims.copy()
        for axis, row in zip(self.axes, self._rows, strict=False):  # the last axis may be that of the bits
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
        each = max(2, int(combinations ** (1 / max(len(self.axes), 1)) + 1e-9))
        for combination in itertools.product(*(spread(grid[axis], each) for axis in self.axes)):
            index[self.axes] = combination
            found.append(self.signature(index))
        return found


class Parts:
    """All that a network runs under any policy of a space; each part says for which policies it runs.

    Args:
        space: the space that the policies are from.
        parts: these, in the order in which they run.

    Attributes:
        depends: (P, A) whether each depends on each axis, were the placement to stay as it is.
    """

    def __init__(self, space: SearchSpace, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.depends = np.zeros((len(parts), len(space.axes)), dtype=bool)
        for depends, part in zip(self.depends, parts, strict=True):
            depends[[*part.axes, *[part.owner] * (part.owner >= 0)]] = True

    def operators(self, index: np.ndarray, placement: Placement) -> list[tuple[str, Signature]]:
        """Returns what the network runs under one policy (A,) and its placement, each with its name."""
        return [(part.name, part.signature(index)) for part in self.parts if part.runs(index[None], placement)[0]]

    def all_signatures(self, grid: list[list[int]], combinations: int) -> list[Signature]:
        """Returns all that the network can run where each axis takes one of these options.

        Args:
            grid: for each axis.
            combinations: how many of each part at most; where there are more, fewer options are combined.
        """
        return sorted({signature for part in self.parts for signature in part.signatures(grid, combinations)})


class PartPrices(Summands):
    """Latencies in microseconds, overhead of kernels included, or energies in microjoules; each looked up once.

    Args:
        parts: what a network runs.
        hardware: what it runs on.
        metric: ``latency`` or ``energy``.
    """

    def __init__(self, parts: Parts, hardware: Hardware, metric: str) -> None:
        self._parts, self._hardware, self._metric = parts.parts, hardware, metric
        self.constant = hardware.run_us if metric == "latency" else 0.0
        count, conditions = len(self._parts), max((len(part.when) for part in self._parts), default=0)
        self.names = [part.name for part in self._parts]
        self._owners = np.array([part.owner for part in self._parts], dtype=np.int64)
        combinations = np.array([part.combinations for part in self._parts], dtype=np.int64)
        self._known = np.full(combinations.sum(), np.nan)
        self._starts = np.cumsum(combinations) - combinations
        self._axes = np.zeros((count, max((len(part.axes) for part in self._parts), default=0)), dtype=np.int64)
        self._strides = np.zeros_like(self._axes)
        # conditions that do not exist are on the network's input, which never is in int8
        self._tables = np.zeros((count, conditions), dtype=np.int64)
        self._rows = np.full((count, conditions), OUTSIDE)
        self._said = np.zeros((count, conditions), dtype=bool)
        for number, part in enumerate(self._parts):
            self._axes[number, : len(part.axes)] = part.axes
            self._strides[number, : len(part.axes)] = part.strides
            for place, (table, row, said) in enumerate(part.when):
                self._tables[number, place], self._rows[number, place] = _TABLES.index(table), row
                self._said[number, place] = said
        self.depends = parts.depends
        self.reads_placement = conditions > 0

    def of(self, indices: np.ndarray, placement: Placement | None) -> np.ndarray:
        """Returns (B, P) what each part adds; raises TableError for one that runs and is not known."""
        runs = self._runs(indices, placement)
        return np.where(runs, self._look_up(indices, runs), 0.0)

    def factors(self, full: np.ndarray, options: Sequence[np.ndarray], signals: Placement) -> Iterator[Factor]:
        """Yields for each part what it adds where it runs; raises TableError for one that is not known."""
        for number, part in enumerate(self._parts):
            conditions = [getattr(signals, table)[row, 0] for table, row, _ in part.when]
            conditions = [each if when[2] else ~each for each, when in zip(conditions, part.when, strict=True)]
            when = both([*conditions, *[chosen(part.owner, np.arange(2) > 0)] * (part.owner >= 0)])
            if when != 0:
                axes, shape = tuple(part.axes), [len(options[axis]) for axis in part.axes]
                policies = combinations(full, axes, options)
                prices = self.only(np.array([number]))._look_up(policies, np.ones((len(policies), 1), dtype=bool))
                yield Factor(when, axes, prices.reshape(shape))

    def _look_up(self, indices: np.ndarray, runs: np.ndarray) -> np.ndarray:
        """Returns (B, P) the prices of parts, right where it is said that they run."""
        keys = np.broadcast_to(self._starts, (len(indices), len(self._starts)))
        for axes, strides in zip(self._axes.T, self._strides.T, strict=True):
            keys = keys + indices[:, axes] * strides
        prices = self._known[keys]
        unknown = np.isnan(prices) & runs
        if unknown.any():
            for key, at in zip(*np.unique(keys[unknown], return_index=True), strict=True):
                policy, part = (numbers[at] for numbers in np.nonzero(unknown))
                signature = self._parts[part].signature(indices[policy])
                self._known[key] = _PRICES[self._metric](self._hardware, signature)
            prices = self._known[keys]
        return prices

    def only(self, which: np.ndarray) -> PartPrices:
        """Returns some of the parts (their numbers) by themselves."""
        some = copy(self)
        some._parts, some.names = [self._parts[number] for number in which], [self.names[number] for number in which]
        for name in ("_owners", "_starts", "_axes", "_strides", "_tables", "_rows", "_said", "depends"):
            setattr(some, name, getattr(self, name)[which])
        return some

    def _runs(self, indices: np.ndarray, placement: Placement | None) -> np.ndarray:
        """Returns (B, P) which parts run."""
        runs = (self._owners < 0) | (indices[:, self._owners] > 0)
        if self.reads_placement:
            assert placement is not None
            tables = np.stack([getattr(placement, name) for name in _TABLES])
            for table, row, said in zip(self._tables.T, self._rows.T, self._said.T, strict=True):
                runs &= said == tables[table, row].T
        return runs


def owner_of(space: SearchSpace, module: str) -> int:
    """Returns the axis of the droppable block that a module lies in, or -1."""
    for index, axis in enumerate(space.axes):
        if axis.field == "keep" and (module == axis.unit or module.startswith(axis.unit + ".")):
            return index
    return -1
