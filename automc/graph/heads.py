"""Attention in recorded operators: which layers make its heads, which read them, and how they lie in channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from automc.graph.fusion import users_of
from automc.graph.layouts import Layout, relocated
from automc.graph.ops import OUTSIDE, Call, Op, Shape

_LAYERS = frozenset({"addmm", "mm", "convolution"})
_PRODUCTS = frozenset({"bmm", "baddbmm"})
_VIEWS = frozenset({"view", "_unsafe_view", "reshape"})
_PARTS = frozenset({"split", "split_with_sizes", "slice"})
_SOFTMAX = frozenset({"_softmax", "_safe_softmax"})


@dataclass(frozen=True)
class Attention:
    """Layers around one attention.

    Attributes:
        outs: the layers that make queries, keys and values, and how heads lie in their outputs.
        ins: the layers that read what it gives, and how heads lie in their inputs.
        modules: the modules that ran it; they may hold the number of heads as an attribute.
        splits: the calls that split channels into heads.
    """

    outs: Mapping[str, Layout]
    ins: Mapping[str, Layout]
    modules: tuple[str, ...]
    splits: tuple[Call, ...]


def find_attentions(model: nn.Module, ops: Sequence[Op]) -> list[Attention]:
    """Returns the attentions of a network whose heads lie in the channels of linear layers or convolutions.

    One is where a product with softmax is computed, as one operator or several, and layers before it have their
    channels split by a view, of which one dimension counts heads.
    """
    users = users_of(ops)
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    layers = {name for name, module in model.named_modules() if isinstance(module, kinds)}
    starts = [index for index, op in enumerate(ops) if op.kind in _LAYERS and op.module in layers]
    splits = {index: list(_splits(ops, users, index)) for index in starts}
    reached = {index: _downstream(ops, users, [at for at, _ in found]) for index, found in splits.items() if found}
    attentions = []
    for marker, op in enumerate(ops):
        if not op.kind.startswith("_scaled_dot_product") and not _is_softmax(op):
            continue
        region = _downstream(ops, users, [marker])
        if _is_softmax(op) and not any(ops[index].kind in _PRODUCTS for index in region):
            continue
        heads = op.inputs[0][-3] if len(op.inputs[0]) > 3 else 0
        outs: dict[str, Layout] = {}
        ins: dict[str, Layout] = {}
        modules, calls = [op.module], []
        for start, seen in reached.items():
            if seen & region:
                for at, factors in splits[start]:
                    outs[ops[start].module] = Layout(factors, _axis(factors, heads))
                    modules.append(ops[at].module)
                    calls.append(ops[at].call)
        for reader in sorted({user for index in region for user in users.get(index, ())} - region):
            merged = _merge(ops, reader) if ops[reader].module in layers else None
            if merged is not None and merged[0] in region:
                ins[ops[reader].module] = Layout(merged[1], _axis(merged[1], heads))
                modules.append(ops[merged[0]].module)
        named = [call for call in calls if call is not None]
        if outs and ins and len(named) == len(calls):
            attentions.append(Attention(outs, ins, tuple(dict.fromkeys(modules)), tuple(named)))
    return attentions


def _is_softmax(op: Op) -> bool:
    return op.kind in _SOFTMAX and op.attribute("dim") in {-1, len(op.output) - 1} and len(op.output) > 2


def _downstream(ops: Sequence[Op], users: Mapping[int, list[int]], starts: Sequence[int]) -> set[int]:
    """Returns these operators and all that follow them, up to the next layers."""
    seen, stack = set(starts), list(starts)
    while stack:
        for user in users.get(stack.pop(), ()):
            if user not in seen and ops[user].kind not in _LAYERS:
                seen.add(user)
                stack.append(user)
    return seen


def _splits(ops: Sequence[Op], users: Mapping[int, list[int]], layer: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yields the views that split a layer's channels, and the sizes of all parts, those of earlier cuts first."""
    dim = 1 if ops[layer].kind == "convolution" else len(ops[layer].output) - 1
    stack: list[tuple[int, int, tuple[int, ...]]] = [(layer, dim, ())]
    seen: set[int] = set()
    while stack:
        index, dim, cut = stack.pop()
        for user in users.get(index, ()):
            op, before = ops[user], ops[index].output
            if user in seen or op.kind in _LAYERS | _PRODUCTS:
                continue
            seen.add(user)
            if op.kind in _VIEWS:
                place = relocated(before, op.output, dim)
                if place is None:
                    continue
                factors = tuple(size for size in op.output[slice(*place)] if size > 1)
                if len(factors) > 1:
                    yield user, (*cut, *factors)
                    continue
                stack.append((user, _largest(op.output, place), cut))
            elif (moved := _moved(op, dim)) is not None:
                stack.append((user, moved, cut))
            elif op.kind in _PARTS and len(op.output) == len(before) and before[dim] % max(op.output[dim], 1) == 0:
                parts = before[dim] // max(op.output[dim], 1)
                stack.append((user, dim, (*cut, parts) if parts > 1 else cut))
            elif _keeps(before, op.output, dim):
                stack.append((user, dim, cut))


def _merge(ops: Sequence[Op], reader: int) -> tuple[int, tuple[int, ...]] | None:
    """Returns the view that merged what a layer reads into its channels, and the sizes of the parts."""
    argument, dim = int(ops[reader].kind == "addmm"), 1
    source, shape = ops[reader].sources[argument], ops[reader].inputs[argument]
    while source != OUTSIDE and ops[source].kind not in _LAYERS | _PRODUCTS:
        op = ops[source]
        before = op.inputs[0]
        if op.kind in _VIEWS:
            place = relocated(shape, before, dim)
            if place is None:
                return None
            factors = tuple(size for size in before[slice(*place)] if size > 1)
            if len(factors) > 1:
                return source, factors
            dim = _largest(before, place)
        elif (moved := _moved(op, dim, back=True)) is not None:
            dim = moved
        elif not _keeps(shape, before, dim):
            return None
        source, shape = op.sources[0], before
    return None


def _moved(op: Op, dim: int, back: bool = False) -> int | None:
    """Returns where a transposition puts a dimension, or with ``back`` whence it takes it."""
    rank = len(op.output)
    if op.kind == "t":
        order = list(range(rank))[::-1]
    elif op.kind == "transpose":
        one, other = op.attribute("dim0") % rank, op.attribute("dim1") % rank
        order = list(range(rank))
        order[one], order[other] = other, one
    elif op.kind == "permute":
        order = [axis % rank for axis in op.attribute("dims")]
    else:
        return None
    return order[dim] if back else order.index(dim)


def _keeps(before: Shape, after: Shape, dim: int) -> bool:
    return len(before) == len(after) and before[dim] == after[dim]


def _largest(shape: Shape, place: tuple[int, int]) -> int:
    return max(range(*place), key=lambda axis: shape[axis])


def _axis(factors: tuple[int, ...], heads: int) -> int:
    """Returns which of a view's dimensions counts heads; keys and values may have fewer of them than queries."""
    order = [len(factors) - 2, *range(len(factors) - 2)]
    for fits in (lambda size: size == heads, lambda size: heads and heads % size == 0):
        for axis in order:
            if fits(factors[axis]):
                return axis
    return order[0]
