"""Where quantizers stand: one rule for the price of a policy, for its simulation and for its export.

What an int8 layer reads and what it gives is quantized, otherwise ONNX Runtime does not run it in int8. It gives its
result after BatchNorm and ReLU, which both disappear in it. A float layer between two quantized tensors is turned
into int8 by ONNX Runtime whether asked or not, so it is int8 here. An addition of two quantized tensors runs in int8
too, and what only moves numbers (views, slices, max pooling) keeps the quantizer that they have. Some others run in
int8 where all that they read is quantized and what they give is read in int8. All else is float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from automc.graph.fusion import BATCH_NORMS, find_kernels, find_paddings, is_free, joined_sums, users_of
from automc.graph.layers import Layer, with_clip
from automc.graph.ops import OUTSIDE, Op

_MOVES = frozenset({"slice", "max_pool2d_with_indices", "permute", "transpose"})
_AGAIN = frozenset({"constant_pad_nd"})  # has no kernel in int8; quantized again, an addition behind it can have one
_BETWEEN = frozenset("add mul cat sigmoid leaky_relu _softmax avg_pool2d bmm".split())  # in int8 if it is around them
_STAYS = BATCH_NORMS | set("relu hardtanh leaky_relu sigmoid tanh max_pool2d_with_indices avg_pool2d".split())


@dataclass(frozen=True)
class Placement:
    """What runs in int8 and what is quantized; each (O + 1, B), a row an operator, the last row the network's input.

    Attributes:
        int8: whether the operator runs in int8.
        quantized: whether its result is quantized.
        placed: whether a quantizer of its own stands behind it.
        enters: whether its result goes from float to int8.
        leaves: whether it goes from int8 to float for some of its readers.
        fused: for an addition that a float convolution may take, whether it does. Float convolutions compute in a
            blocked layout; what is added must be in it too, so it must come from another of them.
    """

    int8: np.ndarray
    quantized: np.ndarray
    placed: np.ndarray
    enters: np.ndarray
    leaves: np.ndarray
    fused: np.ndarray

    def repeated(self, count: int) -> Placement:
        """Returns the placement of so many policies that are all alike, from that of one; it is not to be changed."""
        return Placement(*(np.broadcast_to(rows, (len(rows), count)) for rows in vars(self).values()))


def find_sums(ops: Sequence[Op]) -> dict[int, tuple[int, ...]]:
    """Returns the additions that can run in int8, each with what disappears in it (ReLU), by their positions."""
    users = users_of(ops)
    return {index: with_clip(ops, users, [index]) for index in range(len(ops)) if _is_sum(ops, index)}


class Quantizers:
    """Where quantizers stand in a network, for many policies at once.

    Args:
        ops: its operators.
        layers: those of its layers that can run in int8.
        blocks: names of the blocks that may be dropped, in execution order.
    """

    def __init__(self, ops: Sequence[Op], layers: Sequence[Layer], blocks: Sequence[str] = ()) -> None:
        self._ops, self._layers = ops, layers
        self._spans = {name: Span(ops, name) for name in blocks}
        self._results = {span.result: name for name, span in self._spans.items()}
        self._users = users_of(ops)
        self._sums = find_sums(ops)
        self._joined = joined_sums(ops, find_kernels(ops))
        chains = [*(layer.ops for layer in layers), *self._sums.values()]
        self._heads = {layer.ops[0]: layer for layer in layers}
        self._inner = {op: chain[0] for chain in chains for op in chain[1:]}
        self._between = {index for index, op in enumerate(ops) if _is_between(op)} - set(self._sums)
        paddings = find_paddings(ops)
        moves = (index in paddings or _moves(op) for index, op in enumerate(ops))
        self._moves = np.array([*(move and index not in self._inner for index, move in enumerate(moves)), False])
        # the runtime puts a quantizer before what only moves numbers
        self._stands = {
            index: op.sources[0]
            for index, op in enumerate(ops)
            if self._moves[index] and op.kind != "expand" and self._users.get(op.sources[0]) == [index]
        }
        self._gives = self._moves.copy()  # what it gives is quantized when it runs in int8
        self._gives[[*(chain[-1] for chain in chains), *self._between]] = True

    @property
    def joins(self) -> bool:
        """Whether there are additions that a float convolution may take."""
        return bool(self._joined)

    def place(
        self,
        int8: Mapping[str, np.ndarray],
        kept: Mapping[str, np.ndarray] | None = None,
        apart: Mapping[str, np.ndarray] | None = None,
    ) -> Placement:
        """Returns the placement under B policies.

        Flags are only combined by ``&``, ``|`` and ``~``: they may be arrays of objects that know these, too.

        Args:
            int8: for each layer, (B,) whether it is asked to run in int8.
            kept: for each block, (B,) whether it stays.
            apart: for layers that may have other bits, (B,) whether they do: these never run in int8.
        """
        kept = kept or {}
        flags = next(iter((*int8.values(), *kept.values())), np.zeros(1, dtype=bool))
        present = np.ones((len(self._ops) + 1, len(flags)), dtype=flags.dtype)
        for name, span in self._spans.items():
            present[span.inside] &= kept[name]
        runs, quantized = self._flow(int8, kept, present, apart or {})
        given = runs & self._gives[:, None]
        return Placement(
            int8=runs,
            quantized=quantized,
            placed=quantized & present & ~(runs & self._moves[:, None]),
            enters=quantized & present & ~given,
            leaves=quantized & present & self._read_in_float(runs, kept, present),
            fused=self._fused(runs, quantized, kept) & present,
        )

    def _flow(
        self,
        int8: Mapping[str, np.ndarray],
        kept: Mapping[str, np.ndarray],
        present: np.ndarray,
        apart: Mapping[str, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what runs in int8, and whose result is quantized, each (O + 1, B)."""
        wanted = np.zeros_like(present)  # by an int8 layer that reads it
        for layer in self._layers:
            wanted[layer.source] |= int8[layer.name] & present[layer.ops[0]]
        self._hand_back(wanted, kept, self._stands)
        runs, quantized = np.zeros_like(present), wanted & present
        for index, op in enumerate(self._ops):
            if index in self._heads:
                layer = self._heads[index]
                runs[index] = int8[layer.name] | (quantized[layer.source] & wanted[layer.ops[-1]])
                if layer.name in apart:
                    runs[index] &= ~apart[layer.name]
            elif index in self._inner:
                runs[index] = runs[self._inner[index]]
            elif index in self._sums:
                runs[index] = quantized[op.sources[0]] & quantized[op.sources[1]]
            elif index in self._between:
                runs[index] = np.bitwise_and.reduce(quantized[list(op.sources)], axis=0) & wanted[index]
            elif self._moves[index] and op.sources[0] != OUTSIDE:
                runs[index] = quantized[op.sources[0]]
            runs[index] &= present[index]
            if self._gives[index]:
                quantized[index] |= runs[index]
            elif op.kind in _AGAIN and op.sources[0] != OUTSIDE and op.call is not None:
                quantized[index] |= quantized[op.sources[0]]
            self._pass_on(quantized, index, kept)
        return runs, quantized

    def _fused(self, runs: np.ndarray, quantized: np.ndarray, kept: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns (O + 1, B) which additions run within a float convolution."""
        blocked, fused = np.zeros_like(runs), np.zeros_like(runs)
        for index, op in enumerate(self._ops):
            if index in self._joined:
                head, other = self._joined[index]
                fused[index] = blocked[index] = ~runs[head] & blocked[other]
            elif op.kind == "convolution":
                blocked[index] = ~runs[index]
            elif op.kind in _STAYS:
                blocked[index] = blocked[op.sources[0]]
            blocked[index] &= ~quantized[index]
            self._pass_on(blocked, index, kept)
        return fused

    def _read_in_float(self, runs: np.ndarray, kept: Mapping[str, np.ndarray], present: np.ndarray) -> np.ndarray:
        """Returns (O + 1, B) whose results are read by an operator in float, or are the network's."""
        read = np.zeros_like(runs)
        for index, op in enumerate(self._ops):
            for source in op.sources:
                if source != OUTSIDE:
                    read[source] |= present[index] & ~runs[index]
            if index not in self._users:
                read[index] = True
        self._hand_back(read, kept)
        return read

    def _hand_back(
        self, read: np.ndarray, kept: Mapping[str, np.ndarray], through: Mapping[int, int] | None = None
    ) -> None:
        """Whoever reads the result of a dropped block reads what the block would have read.

        Args:
            read: (O + 1, B) whose results are read, which is what changes.
            kept: for each block, (B,) whether it stays.
            through: operators whose readers read in the same way what they read, and that.
        """
        backwards = sorted({**self._results, **(through or {})}, reverse=True)
        for index in backwards:
            if index in self._results:
                name = self._results[index]
                read[self._spans[name].source] |= read[index] & ~kept[name]
                read[index] &= kept[name]
            if through and index in through:
                read[through[index]] |= read[index]

    def _pass_on(self, state: np.ndarray, index: int, kept: Mapping[str, np.ndarray]) -> None:
        """The result of a dropped block is in the state of what the block would have read."""
        if index in self._results:
            name = self._results[index]
            state[index] = (kept[name] & state[index]) | (~kept[name] & state[self._spans[name].source])


class Span:
    """A block among the operators: those inside, what it reads, and what it gives."""

    def __init__(self, ops: Sequence[Op], block: str) -> None:
        self.inside = [index for index, op in enumerate(ops) if op.within(block)]
        within = set(self.inside)
        outer = [s for index in self.inside for s in ops[index].sources if s not in within and s != OUTSIDE]
        self.source = outer[0] if outer else OUTSIDE
        self.result = self.inside[-1]


def _moves(op: Op) -> bool:
    return op.kind in _MOVES or is_free(op)


def _is_between(op: Op) -> bool:
    """Says whether the runtime has an operator in int8 for what is read and given in int8."""
    return op.kind in _BETWEEN and OUTSIDE not in op.sources and op.call is not None


def _is_sum(ops: Sequence[Op], index: int) -> bool:
    op = ops[index]
    same = len(op.inputs) == 2 and op.inputs[0] == op.inputs[1]
    return op.kind == "add" and same and OUTSIDE not in op.sources and op.call is not None
