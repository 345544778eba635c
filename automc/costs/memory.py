"""Peak memory of activations: the largest sum, over the steps of one inference, of the tensors that are alive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from automc.costs.joins import find_joins
from automc.costs.parts import owner_of
from automc.costs.precision import Precisions
from automc.costs.products import Products
from automc.graph import ModelGraph, Op
from automc.graph.fusion import find_paddings, is_free
from automc.graph.ops import OUTSIDE
from automc.graph.quantizers import Placement, Span
from automc.search_spaces import SearchSpace
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS

_SPLITS = frozenset("split split_with_sizes unsafe_split unsafe_split_with_sizes unbind".split())
_NEVER = -1


class MemoryModel:
    """The bytes that an allocator needs which frees a tensor after its last use.

    The network's inputs are there from the start, its outputs to the end, and an operator's inputs and output while it
    runs. Views and padding for a convolution share the storage of what they read; operators that run as one leave
    nothing between them. A tensor is there in float, in few bits, or both, by who makes it and who reads it: an int8
    operator makes and reads one byte an element, a layer that is simulated reads its bits of activations, packed
    (bits / 8 bytes an element, as weights count in ``size``; the most where several layers read it), all else is in
    float or of the tensor's own type. The other form is made right behind the tensor's operator, in a step of its own.
    Scores of attention count while it runs; other scratch memory of operators does not.

    A runtime may need less, where it writes a sum in place of a summand, or more, where kernels need scratch memory or
    blocked layouts.

    Args:
        graph: the network.
        space: the space that the policies are from.
        precisions: which operators run in int8.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, precisions: Precisions) -> None:
        ops = graph.ops
        self._ops, self._precisions = ops, precisions
        paddings = find_paddings(ops)
        self._passes = {index for index, op in enumerate(ops) if op.runs and (is_free(op) or index in paddings)}
        inputs = {
            number: (index, argument)
            for index, op in reversed(list(enumerate(ops)))
            for argument, number in enumerate(op.given)
            if number != OUTSIDE
        }
        row_of = {number: len(ops) + row for row, number in enumerate(sorted(inputs))}
        self._rows = len(ops) + len(inputs)
        self._reads = [_sources(ops, op, row_of) for op in ops]
        self._joins = find_joins(ops, precisions.layers)
        read = {row for rows in self._reads for row in rows}
        self._returned = [op.runs and (op.returned or index not in read) for index, op in enumerate(ops)]
        self._owners = [owner_of(space, op.module) for op in ops]
        self._spans: dict[int, tuple[int, int]] = {}  # result of a block -> its axis, row of what goes through
        for axis, a in enumerate(space.axes):
            if a.field == "keep":
                span = Span(ops, a.unit)
                given = (row for index in span.inside for row in self._reads[index] if row >= len(ops))
                self._spans[span.result] = (axis, span.source if span.source != OUTSIDE else next(given, OUTSIDE))
        self._heads = {_head(graph, layer.op): layer.name for layer in graph.weighted}
        made = [index for index, op in enumerate(ops) if op.runs and index not in self._passes]
        self._stored = np.array([*made, *range(len(ops), self._rows)], dtype=np.int64)
        at = [(index, 0 if ops[index].kind in _SPLITS else -1) for index in made]
        at += [inputs[number] for number in sorted(inputs)]
        self._itemsizes = np.array([ops[index].itemsizes[argument] for index, argument in at], dtype=float)
        self._names = [*(ops[index].module or ops[index].kind for index in made), *("input" for _ in inputs)]
        scores = [index for index in made if ops[index].kind.startswith("_scaled_dot_product")]
        self._scores = np.array(scores, dtype=np.int64)
        terms = [tuple(range(graph.op_dims[i][a].start, graph.op_dims[i][a].stop)) for i, a in at]
        terms += [(*terms[made.index(i)][:-1], graph.op_dims[i][1].stop - 2) for i in scores]
        self._products = Products(graph, space, terms)

    def prices(self, indices: np.ndarray, placement: Placement) -> np.ndarray:
        """Returns the peak (B,) under policies (B, A), in bytes."""
        steps, count = 2 * self._rows + 4, len(indices)
        change = np.zeros(steps * count)  # of what is alive, from one step to the next
        columns = np.arange(count)
        for tensors in self._tensors(indices, placement):
            sizes = np.where(tensors.last == _NEVER, 0.0, tensors.sizes).ravel()
            for step, sign in ((tensors.first, 1), (tensors.last + 1, -1)):
                flat = (step * count + columns).ravel()
                change += sign * np.bincount(flat, weights=sizes, minlength=len(change))
        return np.asarray(change.reshape(steps, count).cumsum(axis=0).max(axis=0))

    def at_peak(self, index: np.ndarray, placement: Placement) -> list[tuple[str, float]]:
        """Returns the tensors that are alive at the first step of most memory under one policy (1, A), with bytes."""
        found = list(self._tensors(index, placement))
        first, last, sizes = (np.concatenate([getattr(t, f)[:, 0] for t in found]) for f in ("first", "last", "sizes"))
        names = [f"{name}{tensors.suffix}" for tensors in found for name in tensors.names]
        steps = np.unique(first)
        alive = (first <= steps[:, None]) & (steps[:, None] <= last)
        peak = alive[(alive * sizes).sum(axis=1).argmax()]
        return [(name, float(size)) for name, size, there in zip(names, sizes, peak, strict=True) if there]

    def _tensors(self, indices: np.ndarray, placement: Placement) -> Iterator[_Tensors]:
        """Yields the tensors in float, those in few bits, and scores of attention."""
        count, made = len(indices), len(self._stored) - (self._rows - len(self._ops))
        last, bits, there = self._last_uses(indices, placement)
        elements = self._products.of(indices).T
        floats, low = last[:, self._stored]
        rows = self._stored[:made]
        start = np.zeros((len(self._stored), count), dtype=np.int64)  # the step that makes it
        start[:made] = 2 * rows[:, None] + 2
        int8 = np.zeros(start.shape, dtype=bool)
        int8[:made] = placement.int8[rows]
        exists = np.ones(start.shape, dtype=bool)
        exists[:made] = there[rows]
        sizes = elements[: len(start)]
        for own, other, other_made, size, suffix in (
            (floats, low, int8, sizes * self._itemsizes[:, None], ""),
            (low, floats, ~int8, sizes * np.where(int8, INT8_BITS[1], bits[self._stored]) / 8, ":few bits"),
        ):
            # made by its operator, and then there until the other form is made of it; or made one step later
            first = start + other_made
            until = np.maximum(own, first + (~other_made & (other != _NEVER)))
            until[~exists | (other_made & (own == _NEVER))] = _NEVER
            if (until != _NEVER).any():
                yield _Tensors(first, until, size, self._names, suffix)
        if len(self._scores):
            first = np.broadcast_to(2 * self._scores[:, None] + 2, (len(self._scores), count))
            until = np.where(there[self._scores], first, _NEVER)
            names = [self._ops[index].module for index in self._scores]
            yield _Tensors(first, until, elements[len(start) :] * 4, names, ":scores")

    def _last_uses(self, indices: np.ndarray, placement: Placement) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Goes through the operators backwards, from results to what is read for them.

        Returns:
            When each result is last read, [in float, in few bits] (2, R, B); in how many bits (R, B); whether it is
            there at all (R, B).
        """
        count, end = len(indices), 2 * self._rows + 2
        last = np.full((2, self._rows, count), _NEVER, dtype=np.int64)
        simulated = self._precisions.read_in(indices)
        bits = np.full((self._rows, count), 0 if simulated else INT8_BITS[1])
        there = np.ones((self._rows, count), dtype=bool)
        tables = [*last, bits] if simulated else [*last]
        tables = tables if simulated or placement.int8.any() else tables[:1]
        present = {axis: indices[:, axis] > 0 for axis in {owner for owner in self._owners if owner >= 0}}
        runs_at: dict[int, int | np.ndarray] = {}
        for index in range(len(self._ops) - 1, -1, -1):
            if self._returned[index]:
                last[0, index] = end
            if index in self._spans:  # whoever reads the result of a dropped block reads what the block would have
                axis, source = self._spans[index]
                for table in tables if source != OUTSIDE else ():
                    np.maximum(table[source], np.where(present[axis], _NEVER, table[index]), out=table[source])
                last[:, index, ~present[axis]] = _NEVER
                bits[index, ~present[axis]] = 0
            if index in self._passes:
                for row in self._reads[index][:1]:
                    for table in tables:
                        np.maximum(table[row], table[index], out=table[row])
                continue
            if not self._ops[index].runs:
                continue
            runs_at[index] = 2 * index + 2
            owner, joins = self._owners[index], self._joins.get(index)
            if owner >= 0:
                there[index] = present[owner]
            if joins is not None:
                hidden = joins.runs_as_one(placement)
                if (other := self._owners[joins.behind]) >= 0:
                    hidden = hidden & present[other]
                runs_at[index] = np.where(hidden, runs_at[joins.behind], runs_at[index])
                there[index] &= ~hidden
            reads = [runs_at[index]]
            if len(tables) > 1:
                few = placement.int8[index]
                if (layer := self._heads.get(index, "")) in simulated:
                    few = few | (simulated[layer] < FLOAT_BITS)
                reads = [np.where(few, _NEVER, reads[0]), np.where(few, reads[0], _NEVER)]
            if simulated:
                width = simulated.get(layer, FLOAT_BITS)
                reads.append(np.where(few, np.where(placement.int8[index], INT8_BITS[1], width), 0))
            if owner >= 0:
                reads = [np.where(present[owner], read, _NEVER) for read in reads]
            for row in self._reads[index]:
                for table, read in zip(tables, reads, strict=True):
                    np.maximum(table[row], read, out=table[row])
        return last, bits, there


@dataclass(frozen=True)
class _Tensors:
    """Tensors of one kind: from which step to which each is there, `_NEVER` for never, and its bytes; all (T, B)."""

    first: np.ndarray
    last: np.ndarray
    sizes: np.ndarray
    names: list[str]
    suffix: str


def _sources(ops: Sequence[Op], op: Op, row_of: dict[int, int]) -> list[int]:
    """Returns the rows of what an operator reads, constants left out."""
    rows = []
    for source, given in zip(op.sources, op.given, strict=True):
        if source != OUTSIDE:
            rows += [source] if ops[source].runs else []
        elif given != OUTSIDE:
            rows.append(row_of[given])
    return list(dict.fromkeys(rows)) if op.runs else []


def _head(graph: ModelGraph, result: int) -> int:
    """Returns the operator that reads the input of a layer, from the one whose result is the layer's."""
    while result != OUTSIDE and is_free(graph.ops[result]):
        result = graph.ops[result].sources[0]
    return result
