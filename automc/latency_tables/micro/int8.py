"""Operators in int8, and changes of precision, as branches of a model that is profiled; see `models`.

An int8 operator stands between int8 neighbours and a change of precision between an int8 and a float one, as they do in
a network: only then do all of them run in the layout that they have there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from automc.errors import TableError
from automc.latency_tables.micro.graph import (
    MicroGraph,
    conv_attributes,
    input_shapes,
    pool_attributes,
    producer,
    slice_bounds,
)
from automc.latency_tables.signature import DEQUANTIZE, INT8, QUANTIZE, Signature

_SCALE = 1 / 32
_WIDTH = 8  # channels of what stands around


def is_int8(signature: Signature) -> bool:
    """Says whether an operator is one of those built here."""
    return signature.op.startswith(INT8) or signature.op in (QUANTIZE, DEQUANTIZE)


def int8_branch(graph: MicroGraph, name: str, signature: Signature) -> str:
    """Adds a branch with one operator, whose nodes are called ``{name}.op…``; returns its end.

    Raises:
        TableError: the operator does not run in int8.
    """
    if signature.op == QUANTIZE:
        shape = (*signature.get("before"), *signature.channels, *signature.get("after"))
        tensor = _quantized(graph, f"{name}.op", producer(graph, f"{name}.src", shape))
        return _weighted(graph, f"{name}.end", tensor, shape)
    if signature.op == DEQUANTIZE:
        shape = (*signature.get("before"), *signature.channels, *signature.get("after"))
        source = _int8_source(graph, f"{name}.src", shape, last=f"{name}.op")
        return _float_end(graph, f"{name}.end", source, shape)
    plain = replace(signature, op=signature.op.removeprefix(INT8))
    if plain.op not in {"conv", "dwconv", "linear", *_OTHERS}:
        raise TableError(f"operator '{signature.op}' cannot be measured: the runtime has none in int8")
    shapes = input_shapes(plain)
    images = len(shapes[0]) == 4 and plain.op not in {"permute", "matmul", "softmax"}
    sources = [_int8_source(graph, f"{name}.src{number}", shape, images) for number, shape in enumerate(shapes)]
    made = f"{name}.op"
    outputs = plain.channels[0]
    if plain.op in {"conv", "dwconv", "linear"}:
        tensor, outputs = _layer(graph, made, plain, sources[0]), plain.channels[-1]
    else:
        if plain.op == "cat":
            outputs = plain.channels[-1] if "channel" in dict(plain.rest) else sum(plain.channels)
        tensor = _OTHERS[plain.op](graph, made, plain, sources)
    tensor = _quantized(graph, f"{made}.q", tensor)
    if images or len(shapes[0]) == 2:
        return _weighted(graph, f"{name}.end", tensor, (1, outputs, 1, 1) if images else (1, outputs))
    width = input_shapes(plain)[0][plain.get("order")[-1]] if plain.op == "permute" else plain.channels[-1]
    width = shapes[0][-1] if plain.op not in {"permute", "matmul"} else width
    return _weighted(graph, f"{name}.end", _reshaped(graph, f"{name}.end.rows", tensor, (-1, width)), (1, width))


def int8_link(graph: MicroGraph, name: str, signature: Signature, tensor: str) -> str:
    """Adds one layer in int8 to a chain of them; returns its result."""
    plain = replace(signature, op=signature.op.removeprefix(INT8))
    return _quantized(graph, f"{name}.q", _layer(graph, name, plain, _quantized(graph, f"{name}.in", tensor)))


_Builder = Callable[[MicroGraph, str, Signature, list[str]], str]
_OTHERS: dict[str, _Builder] = {
    "add": lambda graph, name, _, sources: graph.node("Add", sources, name),
    "mul": lambda graph, name, _, sources: graph.node("Mul", sources, name),
    "matmul": lambda graph, name, _, sources: graph.node("MatMul", sources, name),
    "sigmoid": lambda graph, name, _, sources: graph.node("Sigmoid", sources, name),
    "leaky_relu": lambda graph, name, _, sources: graph.node("LeakyRelu", sources, name),
    "softmax": lambda graph, name, _, sources: graph.node("Softmax", sources, name, axis=-1),
    "cat": lambda graph, name, plain, sources: graph.node("Concat", sources, name, axis=plain.get("axis")[0]),
    "permute": lambda graph, name, plain, sources: graph.node("Transpose", sources, name, perm=plain.get("order")),
    "max_pool2d": lambda graph, name, plain, sources: graph.node("MaxPool", sources, name, **pool_attributes(plain)),
    "avg_pool2d": lambda graph, name, plain, sources: graph.node(
        "AveragePool", sources, name, **pool_attributes(plain)
    ),
    "slice": lambda graph, name, plain, sources: graph.node(
        "Slice", [sources[0], *slice_bounds(graph, name, plain)], name
    ),
}


def _quantized(graph: MicroGraph, name: str, tensor: str, last: str | None = None) -> str:
    """Adds a quantizer; ``last`` names its second half, which makes numbers of levels again."""
    scale = graph.weight(f"{name}.scale", values=np.array(_SCALE, dtype=np.float32))
    zero = graph.weight(f"{name}.zero", values=np.array(128, dtype=np.uint8))
    levels = graph.node("QuantizeLinear", [tensor, scale, zero], name)
    return graph.node("DequantizeLinear", [levels, scale, zero], last or f"{name}.back")


def _weights(graph: MicroGraph, name: str, *shape: int) -> str:
    values = graph.generator.integers(-127, 128, shape).astype(np.int8)
    fan_in = int(np.prod(shape[1:]))
    scale = np.full(shape[0], 1 / 74 / np.sqrt(fan_in), dtype=np.float32)
    inputs = [
        graph.weight(f"{name}.levels", values=values),
        graph.weight(f"{name}.scale", values=scale),
        graph.weight(f"{name}.zero", values=np.zeros(shape[0], dtype=np.int8)),
    ]
    return graph.node("DequantizeLinear", inputs, name, axis=0)


def _layer(graph: MicroGraph, name: str, signature: Signature, source: str) -> str:
    inputs, outputs = signature.channels[0], signature.channels[-1]
    bias = graph.weight(f"{name}.b", outputs)
    if signature.op == "linear":
        return graph.node("Gemm", [source, _weights(graph, f"{name}.w", outputs, inputs), bias], name, transB=1)
    attributes = conv_attributes(signature)
    weight = _weights(graph, f"{name}.w", outputs, inputs // attributes["group"], *signature.get("k"))
    return graph.node("Conv", [source, weight, bias], name, **attributes)


def _int8_source(
    graph: MicroGraph, name: str, shape: tuple[int, ...], image: bool = True, last: str | None = None
) -> str:
    """Adds a cheap layer in int8 that gives this shape; one that is no image comes from a linear layer."""
    image = image and len(shape) == 4
    made = shape if image or len(shape) == 2 else (math.prod(shape[:-1]), shape[-1])
    tensor = _quantized(graph, f"{name}.in", graph.input(f"{name}.x", (made[0], 1, *made[2:])))
    tensor = _small(graph, f"{name}.layer", tensor, 1, made[1], image)
    tensor = _quantized(graph, f"{name}.q", tensor, last)
    return tensor if made == shape else _reshaped(graph, f"{name}.shaped", tensor, shape)


def _reshaped(graph: MicroGraph, name: str, tensor: str, shape: tuple[int, ...]) -> str:
    return graph.node("Reshape", [tensor, graph.weight(f"{name}.to", values=np.array(shape))], name)


def _weighted(graph: MicroGraph, name: str, tensor: str, shape: tuple[int, ...]) -> str:
    """Adds a cheap layer in int8 that reads this shape."""
    tensor = _small(graph, name, tensor, shape[1], _WIDTH, len(shape) == 4)
    return _quantized(graph, f"{name}.q", tensor)


def _small(graph: MicroGraph, name: str, tensor: str, inputs: int, outputs: int, image: bool) -> str:
    if image:
        return graph.node(
            "Conv", [tensor, _weights(graph, f"{name}.w", outputs, inputs, 1, 1)], name, kernel_shape=[1, 1]
        )
    bias = graph.weight(f"{name}.b", outputs)
    return graph.node("Gemm", [tensor, _weights(graph, f"{name}.w", outputs, inputs), bias], name, transB=1)


def _float_end(graph: MicroGraph, name: str, tensor: str, shape: tuple[int, ...]) -> str:
    if len(shape) != 4:
        return graph.node("Neg", [tensor], name)
    tensor = graph.node("Conv", [tensor, graph.weight(f"{name}.w", _WIDTH, shape[1], 1, 1)], name, kernel_shape=[1, 1])
    return graph.node("Neg", [tensor], f"{name}.last")
