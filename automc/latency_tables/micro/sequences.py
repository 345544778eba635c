"""Operators of transformers and other newer networks, as branches of a model that is profiled; see `models`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from automc.latency_tables.micro.graph import LOGICAL, MicroGraph
from automc.latency_tables.signature import Signature


def _attention(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    """What `automc.recipes.onnx_attention` exports."""
    query, key, value, *mask = sources
    factor = graph.weight(f"{name}.factor", values=np.array(signature.channels[1] ** -0.5, dtype=np.float32))
    query = graph.node("Mul", [query, factor], f"{name}.scaled")
    key = graph.node("Transpose", [key], f"{name}.key", perm=[0, 1, 3, 2])
    scores = graph.node("MatMul", [query, key], f"{name}.scores")
    if mask:
        scores = graph.node("Add", [scores, mask[0]], f"{name}.masked")
    weights = graph.node("Softmax", [scores], f"{name}.weights", axis=-1)
    if mask:
        zero = graph.weight(f"{name}.zero", values=np.array(0, dtype=np.float32))
        nothing = graph.node("IsNaN", [weights], f"{name}.nothing")
        weights = graph.node("Where", [nothing, zero, weights], f"{name}.seen")
    return graph.node("MatMul", [weights, value], name)


def _embedding(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    (rows,), (count,) = signature.get("rows"), signature.get("n")
    # numbers of rows that the runtime cannot know beforehand: zeros, and constants added
    where = name.replace(".op", ".src")
    signs = graph.node("Not", [graph.node("Cast", sources, f"{where}.b", to=TensorProto.BOOL)], f"{where}.n")
    zeros = graph.node("Cast", [signs], f"{where}.z", to=TensorProto.INT64)
    numbers = graph.weight(f"{where}.ids", values=graph.generator.integers(0, rows, count))
    ids = graph.node("Mod", [graph.node("Add", [zeros, numbers], f"{where}.i"), _int(graph, f"{where}.r", rows)], where)
    return graph.node("Gather", [graph.weight(f"{name}.w", rows, signature.channels[0]), ids], name)


def _select(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    return graph.node("Gather", [sources[0], _int(graph, f"{name}.i", 0)], name, axis=signature.get("axis")[0])


def _where(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    low, high = (graph.weight(f"{name}.{v}", values=np.array(v, dtype=np.float32)) for v in (-1, 0))
    return graph.node("Where", [_positive(graph, name, sources[0]), high, low], name)


def _logical(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    flags = [_positive(graph, f"{name}{number}", source) for number, source in enumerate(sources)]
    return graph.node("Cast", [graph.node(LOGICAL[signature.op], flags, name)], f"{_source(name)}.f", to=1)


def _index(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    size = (*signature.get("before"), *signature.channels, *signature.get("after"))
    numbers = graph.weight(f"{name}.i", values=np.arange(size[-1]))
    return graph.node("Gather", [sources[0], numbers], name, axis=len(size) - 1)


def _layer_norm(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    return graph.node("LayerNormalization", [sources[0], *_ones(graph, name, signature.channels)], name)


def _group_norm(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    """What PyTorch's exporter makes of it: groups are instances of which each is normalized."""
    (groups,), (n,) = signature.get("g"), signature.get("n")
    (channels,), hw = signature.channels, signature.get("hw")
    shapes = [np.array(shape) for shape in ((n, groups, -1), (n, channels, *hw))]
    before, after = (graph.weight(f"{name}.{v}", values=shape) for v, shape in enumerate(shapes))
    parts = graph.node("Reshape", [sources[0], before], f"{name}.parts")
    inner = graph.node("InstanceNormalization", [parts, *_ones(graph, f"{name}.in", (groups,))], f"{name}.norm")
    result = graph.node("Reshape", [inner, after], f"{name}.whole")
    scale, shift = _ones(graph, name, (channels, *[1] * len(hw)))
    return graph.node("Add", [graph.node("Mul", [result, scale], f"{name}.scaled"), shift], name)


def _reshape(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    shape = np.array([1, *signature.channels])
    return graph.node("Reshape", [sources[0], graph.weight(f"{name}.to", values=shape)], name)


def _prelu(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    slopes = graph.weight(f"{name}.w", signature.channels[0], *[1] * len(signature.get("after")))
    return graph.node("PRelu", [sources[0], slopes], name)


def _resize(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    size = np.array([*signature.get("before"), *signature.channels, *signature.get("out")])
    mode = "linear" if "bilinear" in signature.op else "nearest"
    inputs = [sources[0], "", "", graph.weight(f"{name}.size", values=size)]
    more = {} if mode == "linear" else {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.node("Resize", inputs, name, mode=mode, **more)


def _positive(graph: MicroGraph, name: str, source: str) -> str:
    zero = graph.weight(f"{_source(name)}.zero", values=np.array(0, dtype=np.float32))
    return graph.node("Greater", [source, zero], f"{_source(name)}.positive")


def _source(name: str) -> str:
    """The name of what feeds an operator, which is not measured."""
    return name.replace(".op", ".src")


def _int(graph: MicroGraph, name: str, value: int) -> str:
    return graph.weight(name, values=np.array(value, dtype=np.int64))


def _ones(graph: MicroGraph, name: str, shape: tuple[int, ...]) -> list[str]:
    return [graph.weight(f"{name}.{part}", values=np.ones(shape, dtype=np.float32)) for part in "sb"]


SEQUENCE_BUILDERS: dict[str, Callable[[MicroGraph, str, Signature, list[str]], str]] = {
    "attention": _attention,
    "embedding": _embedding,
    "select": _select,
    "where": _where,
    **dict.fromkeys(LOGICAL, _logical),
    "index": _index,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "reshape": _reshape,
    "prelu": _prelu,
    "upsample_nearest2d": _resize,
    "upsample_bilinear2d": _resize,
}
