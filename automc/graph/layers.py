"""Layers that can have fewer bits: in simulation whatever has weights, in int8 what the runtime has kernels for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from automc.graph.fusion import BATCH_NORMS, find_paddings, is_free, is_linear, only_user, users_of
from automc.graph.ops import OUTSIDE, Op

_CALLS = {"conv2d": nn.Conv2d, "linear": nn.Linear}
_CLIPS = frozenset({"relu", "hardtanh"})  # a quantizer clips, so they need not run


@dataclass(frozen=True)
class Weighted:
    """A convolution or a linear layer that runs once and has its weights for itself.

    Attributes:
        name: its module.
        op: the operator whose result is the layer's.
        norm: the BatchNorm module that can be folded into it, or None.
    """

    name: str
    op: int
    norm: str | None


@dataclass(frozen=True)
class Layer:
    """A layer that can run in int8.

    Attributes:
        name: its module.
        ops: its operator and those that disappear in it (BatchNorm, ReLU), as positions.
        result: the one of them whose result is the module's.
        source: the operator whose result it reads, or `OUTSIDE` for the network's input.
        norm: the BatchNorm module that is folded into it, or None.
    """

    name: str
    ops: tuple[int, ...]
    result: int
    source: int
    norm: str | None


def find_weighted(model: nn.Module, ops: Sequence[Op]) -> tuple[Weighted, ...]:
    """Returns these layers in execution order: every `Conv2d`, and every `Linear` whatever the rank of its input."""
    users = users_of(ops)
    runs = Counter(op.module for op in ops if op.kind in BATCH_NORMS or _is_layer(op))
    owners = Counter(id(tensor) for module in model.modules() for tensor in module.parameters(recurse=False))

    def alone(name: str) -> bool:
        parameters = model.get_submodule(name).parameters(recurse=False)
        return runs[name] == 1 and all(owners[id(tensor)] == 1 for tensor in parameters)

    found = []
    for index, op in enumerate(ops):
        layer = model.get_submodule(op.module)
        if op.call is None or not _is_layer(op) or not isinstance(layer, _CALLS[op.call[0]]) or not alone(op.module):
            continue
        norm, after = None, only_user(users, index)
        if after is not None and ops[after].kind in BATCH_NORMS and isinstance(layer, nn.Conv2d):
            behind = ops[after].module
            norm = behind if alone(behind) and _foldable(model.get_submodule(behind)) else None
        found.append(Weighted(op.module, index, norm))
    return tuple(found)


def find_layers(model: nn.Module, ops: Sequence[Op], input_shape: tuple[int, ...]) -> tuple[Layer, ...]:
    """Returns the layers that can run in int8, in execution order.

    Args:
        model: the network.
        ops: its operators.
        input_shape: shape of its input; empty if there are several.
    """
    users, paddings = users_of(ops), find_paddings(ops)
    layers = []
    for weighted in find_weighted(model, ops):
        layer = model.get_submodule(weighted.name)
        chain = _from_start(ops, users, weighted.op)
        if chain is None or getattr(layer, "padding_mode", "zeros") != "zeros":
            continue
        at = 0 if isinstance(layer, nn.Conv2d) else -2
        source, shape = ops[chain[0]].sources[at], ops[chain[0]].inputs[at]
        while source != OUTSIDE and (source in paddings or _leads_on(ops[source], weighted.name)):
            source, shape = ops[source].sources[0], ops[source].inputs[0]
        if shape != input_shape if source == OUTSIDE else ops[source].call is None:
            continue
        after = only_user(users, weighted.op)
        if after is not None and ops[after].kind in BATCH_NORMS and isinstance(layer, nn.Conv2d):
            if weighted.norm is None:
                continue
            chain.append(after)
        layers.append(Layer(weighted.name, with_clip(ops, users, chain), weighted.op, source, weighted.norm))
    return tuple(layers)


def with_clip(ops: Sequence[Op], users: Mapping[int, list[int]], chain: Sequence[int]) -> tuple[int, ...]:
    """Returns operators and the activation after them that a quantizer makes superfluous."""
    after = only_user(users, chain[-1])
    if after is not None and ops[after].kind in _CLIPS and ops[after].call is not None:
        return (*chain, after)
    return tuple(chain)


def _from_start(ops: Sequence[Op], users: Mapping[int, list[int]], result: int) -> list[int] | None:
    """Returns the operators from the one with the weights to the one that gives its module's result."""
    chain = [result]
    while not (ops[chain[0]].kind == "convolution" or is_linear(ops, chain[0])):
        op = ops[chain[0]]
        source = op.sources[0] if op.sources else OUTSIDE
        if not is_free(op) or source == OUTSIDE or users[source] != [chain[0]] or ops[source].module != op.module:
            return None
        chain.insert(0, source)
    return chain


def _is_layer(op: Op) -> bool:
    return op.call is not None and op.call[0] in _CALLS


def _leads_on(op: Op, module: str) -> bool:
    """Says whether an operator is only how a module reads its input."""
    return op.call is None and op.module == module and is_free(op)


def _foldable(norm: nn.Module) -> bool:
    return isinstance(norm, nn.BatchNorm2d) and norm.affine and norm.track_running_stats
