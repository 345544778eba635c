"""Many operators side by side in one ONNX model, so that one profiled run measures them all.

Each operator gets a branch of its own: a cheap producer that leaves its input in cache and in the runtime's own
layout, as the layer before would, and then the operator with whatever is fused into it. The runtime runs branch
after branch, so repeated runs interleave all measurements.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from automc.errors import TableError
from automc.latency_tables.micro.graph import (
    BINARY,
    LOGICAL,
    MicroGraph,
    conv_attributes,
    input_shapes,
    pool_attributes,
    producer,
    slice_bounds,
)
from automc.latency_tables.micro.int8 import int8_branch, int8_link, is_int8
from automc.latency_tables.micro.sequences import SEQUENCE_BUILDERS
from automc.latency_tables.signature import INT8, Signature

_UNARY: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "leaky_relu": ("LeakyRelu", {}),
    "elu": ("Elu", {}),
    "gelu": ("Gelu", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "softplus": ("Softplus", {}),
    "softmax": ("Softmax", {"axis": -1}),
    "exp": ("Exp", {}),
    "erf": ("Erf", {}),
    "neg": ("Neg", {}),
    "abs": ("Abs", {}),
    "sqrt": ("Sqrt", {}),
}
_NO_IMAGES = frozenset({"permute", "attention", "matmul", "softmax", "select", "where", "index", *LOGICAL})
_COMPOSED = frozenset({"hardtanh", "silu", "hardswish"})
_OURS = re.compile(r"(fused )?k\d+\.")
_BRANCH = re.compile(r"k\d+(?=\.op)")  # a fused node is called "fused k3.op"


def chain(signature: Signature, length: int) -> bytes:
    """Returns an ONNX model that runs one operator ``length`` times in a row; its shape must stay the same."""
    graph = MicroGraph()
    shape = input_shapes(replace(signature, op=signature.op.removeprefix(INT8)))[0]
    tensor = graph.input("x", shape)
    for step in range(length):
        name = f"k{step}.op"
        linked = int8_link(graph, name, signature, tensor) if is_int8(signature) else None
        tensor = linked or _branch(graph, name, signature, [tensor])
    return graph.serialize([tensor])


def side_by_side(signatures: Sequence[Signature]) -> bytes:
    """Returns an ONNX model with a branch for each operator; the nodes of branch i have names ``k{i}.op…``.

    Raises:
        TableError: an operator cannot be built.
    """
    graph = MicroGraph()
    outputs = []
    for index, signature in enumerate(signatures):
        if is_int8(signature):
            outputs.append(int8_branch(graph, f"k{index}", signature))
            continue
        sources = [
            producer(
                graph, f"k{index}.src{number}", shape, _joins_convolutions(signature), signature.op not in _NO_IMAGES
            )
            for number, shape in enumerate(input_shapes(signature))
        ]
        result = _branch(graph, f"k{index}.op", signature, sources)
        # not all is fused that gives the network's output
        outputs.append(graph.node("Neg", [result], f"k{index}.end"))
    return graph.serialize(outputs)


def branch_of(node: str) -> str | None:
    """Returns the branch of a node that is part of its operator, by the node's name."""
    found = _BRANCH.search(node)
    return found[0] if found else None


def owners(graph: str, branches: Collection[str]) -> dict[str, str]:
    """Returns the branch of each node that the runtime put between the operator of one of these and its neighbours.

    Args:
        graph: the model as the runtime rewrote it, base64.
        branches: those that change precision: a change of layout around their operator belongs to them.
    """
    nodes = onnx.load_from_string(base64.b64decode(graph)).graph.node
    made = {tensor: number for number, node in enumerate(nodes) for tensor in node.output}
    near: list[set[int]] = [set() for _ in nodes]
    for number, node in enumerate(nodes):
        for tensor in node.input:
            if tensor in made:
                near[number].add(made[tensor])
                near[made[tensor]].add(number)
    found: dict[str, str] = {}
    for number, node in enumerate(nodes):
        branch = branch_of(node.name)
        if branch in branches and branch is not None:
            queue = [number]
            while queue:
                for other in near[queue.pop()]:
                    if not _OURS.match(nodes[other].name) and nodes[other].name not in found:
                        found[nodes[other].name] = branch
                        queue.append(other)
    return found


def _joins_convolutions(signature: Signature) -> bool:
    """Says whether the runtime would fuse the operator into a convolution before it."""
    first = signature.op.split("+")[0]
    return first in BINARY or first in _UNARY or first in _COMPOSED or first == "batch_norm"


def _branch(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    first, *fused = signature.op.split("+")
    tensor = _builder(first)(graph, name, signature, sources)
    for kind in fused:
        if kind == "add":
            tensor = graph.node("Add", [tensor, sources[-1]], f"{name}.add")
        else:
            tensor = _activation(graph, f"{name}.{kind}", kind, tensor)
    return tensor


def _builder(kind: str) -> Callable[[MicroGraph, str, Signature, list[str]], str]:
    if kind in _BUILDERS:
        return _BUILDERS[kind]
    if kind in _UNARY or kind in _COMPOSED:
        return lambda graph, name, _, sources: _activation(graph, name, kind, sources[0])
    if kind in BINARY:
        return lambda graph, name, _, sources: graph.node(BINARY[kind], sources, name)
    raise TableError(f"operator '{kind}' cannot be measured yet; use a macs, params or size budget for this model")


def _activation(graph: MicroGraph, name: str, kind: str, tensor: str) -> str:
    if kind == "hardtanh":
        bounds = [graph.weight(f"{name}.{v}", values=np.array(v, dtype=np.float32)) for v in (0, 6)]
        return graph.node("Clip", [tensor, *bounds], name)
    if kind in {"silu", "hardswish"}:
        gate = _activation(graph, f"{name}.gate", {"silu": "sigmoid", "hardswish": "hardsigmoid"}[kind], tensor)
        return graph.node("Mul", [tensor, gate], name)
    onnx_kind, attributes = _UNARY[kind]
    return graph.node(onnx_kind, [tensor], name, **attributes)


def _conv(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    attributes = conv_attributes(signature)
    inputs, outputs = signature.channels[0], signature.channels[-1]
    weight = graph.weight(f"{name}.w", outputs, inputs // attributes["group"], *signature.get("k"))
    return graph.node("Conv", [sources[0], weight, graph.weight(f"{name}.b", outputs)], name, **attributes)


def _conv_transpose(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    attributes = conv_attributes(signature)
    inputs, outputs = signature.channels
    weight = graph.weight(f"{name}.w", inputs, outputs // attributes["group"], *signature.get("k"))
    bias = graph.weight(f"{name}.b", outputs)
    more = {"output_padding": signature.get("o")}
    return graph.node("ConvTranspose", [sources[0], weight, bias], name, **attributes, **more)


def _linear(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    inputs, outputs = signature.channels
    weight = graph.weight(f"{name}.w", outputs, inputs)
    return graph.node("Gemm", [sources[0], weight, graph.weight(f"{name}.b", outputs)], name, transB=1)


def _pool(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    kind = "MaxPool" if signature.op == "max_pool2d" else "AveragePool"
    return graph.node(kind, sources, name, **pool_attributes(signature))


def _mean(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    axes = graph.weight(f"{name}.axes", values=np.array(signature.get("axes"), dtype=np.int64))
    return graph.node("ReduceMean", [sources[0], axes], name, keepdims=0)


def _adaptive(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    if any(size != 1 for size in signature.get("out")):
        raise TableError("adaptive pooling to more than one pixel cannot be measured yet")
    return graph.node("GlobalAveragePool", sources, name)


def _batch_norm(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    ones = [graph.weight(f"{name}.{p}", values=np.ones(signature.channels[0], dtype=np.float32)) for p in "sbmv"]
    return graph.node("BatchNormalization", [sources[0], *ones], name)


def _permute(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    return graph.node("Transpose", sources, name, perm=signature.get("order"))


def _cat(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    return graph.node("Concat", sources, name, axis=signature.get("axis")[0])


def _slice(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    return graph.node("Slice", [sources[0], *slice_bounds(graph, name, signature)], name)


def _pad(graph: MicroGraph, name: str, signature: Signature, sources: list[str]) -> str:
    # PyTorch names (before, after) pairs from the last dimension on, ONNX all befores and then all afters
    pads = signature.get("pads")
    rank = len(signature.get("before")) + 1 + len(signature.get("after"))
    pairs = [pads[i : i + 2] for i in range(0, len(pads), 2)]
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs[::-1]
    values = np.array([before for before, _ in pairs] + [after for _, after in pairs], dtype=np.int64)
    return graph.node("Pad", [sources[0], graph.weight(f"{name}.pads", values=values)], name)


_BUILDERS: dict[str, Callable[[MicroGraph, str, Signature, list[str]], str]] = SEQUENCE_BUILDERS | {
    "conv": _conv,
    "dwconv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": _linear,
    "matmul": lambda graph, name, _, sources: graph.node("MatMul", sources, name),
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "mean": _mean,
    "adaptive_avg_pool2d": _adaptive,
    "batch_norm": _batch_norm,
    "permute": _permute,
    "transpose": _permute,
    "cat": _cat,
    "slice": _slice,
    "pad": _pad,
}
