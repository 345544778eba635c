"""Many operators side by side in one ONNX model, so that one profiled run measures them all.

Each operator gets a branch of its own: a cheap producer that leaves its input in cache and in the runtime's own
layout, as the layer before would, and then the operator with whatever is fused into it. The runtime runs branch
after branch, so repeated runs interleave all measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from automc.errors import TableError
from automc.latency_tables.signature import Signature

OPSET = 20
_IR = 10

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
}
_COMPOSED = frozenset({"hardtanh", "silu", "hardswish"})
_BINARY = {"add": "Add", "mul": "Mul", "sub": "Sub", "div": "Div"}


def chain(signature: Signature, length: int) -> bytes:
    """Returns an ONNX model that runs one operator ``length`` times in a row; its shape must stay the same."""
    graph = _Graph()
    shape = _input_shapes(signature)[0]
    graph.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    tensor = "x"
    for step in range(length):
        tensor = _branch(graph, f"k{step}.op", signature, [tensor])
    return graph.serialize([tensor])


def side_by_side(signatures: Sequence[Signature]) -> bytes:
    """Returns an ONNX model with a branch for each operator; the nodes of branch i have names ``k{i}.op…``.

    Raises:
        TableError: an operator cannot be built.
    """
    graph = _Graph()
    outputs = []
    for index, signature in enumerate(signatures):
        sources = [
            _producer(graph, f"k{index}.src{number}", shape, _joins_convolutions(signature))
            for number, shape in enumerate(_input_shapes(signature))
        ]
        result = _branch(graph, f"k{index}.op", signature, sources)
        # not all is fused that gives the network's output
        outputs.append(graph.node("Neg", [result], f"k{index}.end"))
    return graph.serialize(outputs)


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._generator = np.random.default_rng(0)

    def weight(self, name: str, *shape: int, values: np.ndarray | None = None) -> str:
        if values is None:
            # scaled so that no activation overflows or becomes denormal, which would change the timing
            fan_in = max(int(np.prod(shape[1:])), 1)
            values = (self._generator.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def serialize(self, outputs: Sequence[str]) -> bytes:
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "operators", self.inputs, results, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR)
        return model.SerializeToString()


def _joins_convolutions(signature: Signature) -> bool:
    """Says whether the runtime would fuse the operator into a convolution before it."""
    first = signature.op.split("+")[0]
    return first in _BINARY or first in _UNARY or first in _COMPOSED or first == "batch_norm"


def _producer(graph: _Graph, name: str, shape: tuple[int, ...], apart: bool) -> str:
    if len(shape) == 4:
        narrow = (shape[0], 1, *shape[2:])
        graph.inputs.append(helper.make_tensor_value_info(name + ".x", TensorProto.FLOAT, narrow))
        weight = graph.weight(name + ".w", shape[1], 1, 1, 1)
        tensor = graph.node("Conv", [name + ".x", weight], name, kernel_shape=[1, 1])
        # pooling single pixels changes nothing, keeps the layout, and is never fused
        return graph.node("MaxPool", [tensor], name + ".apart", kernel_shape=[1, 1]) if apart else tensor
    graph.inputs.append(helper.make_tensor_value_info(name + ".x", TensorProto.FLOAT, shape))
    return graph.node("Neg", [name + ".x"], name)


def _input_shapes(signature: Signature) -> list[tuple[int, ...]]:
    """Returns the shapes of the activations that a kernel reads: its input, and what is added to its result."""
    first, *fused = signature.op.split("+")
    channels = signature.channels
    if first in {"conv", "dwconv", "conv_transpose"}:
        n, hw = signature.get("n"), signature.get("hw")
        shapes = [(*n, channels[0], *hw)]
        if "add" in fused:
            shapes.append((*n, channels[-1], *_conv_output(signature)))
        return shapes
    if first == "linear":
        return [(*signature.get("n"), channels[0])]
    if first == "matmul":
        left = channels[:-1]
        return [left, (*left[:-2], left[-1], channels[-1])]
    if first in {"max_pool2d", "avg_pool2d"}:
        return [(*signature.get("n"), channels[0], *signature.get("hw"))]
    if first == "cat":
        return [(*signature.get("before"), part, *signature.get("after")) for part in channels]
    shape = (*signature.get("before"), channels[0], *signature.get("after"))
    if first in _BINARY:
        repeated = dict(signature.rest).get("by", (1,) * len(shape))
        return [shape, tuple(size if same else 1 for size, same in zip(shape, repeated, strict=True))]
    return [shape]


def _conv_output(signature: Signature) -> tuple[int, ...]:
    sizes = (signature.get(name) for name in ("hw", "k", "s", "p", "d"))
    return tuple((h + 2 * p - d * (k - 1) - 1) // s + 1 for h, k, s, p, d in zip(*sizes, strict=True))


def _branch(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    first, *fused = signature.op.split("+")
    tensor = _builder(first)(graph, name, signature, sources)
    for kind in fused:
        if kind == "add":
            tensor = graph.node("Add", [tensor, sources[-1]], f"{name}.add")
        else:
            tensor = _activation(graph, f"{name}.{kind}", kind, tensor)
    return tensor


def _builder(kind: str) -> Callable[[_Graph, str, Signature, list[str]], str]:
    if kind in _BUILDERS:
        return _BUILDERS[kind]
    if kind in _UNARY or kind in _COMPOSED:
        return lambda graph, name, _, sources: _activation(graph, name, kind, sources[0])
    if kind in _BINARY:
        return lambda graph, name, _, sources: graph.node(_BINARY[kind], sources, name)
    raise TableError(f"operator '{kind}' cannot be measured yet; use a macs, params or size budget for this model")


def _activation(graph: _Graph, name: str, kind: str, tensor: str) -> str:
    if kind == "hardtanh":
        bounds = [graph.weight(f"{name}.{v}", values=np.array(v, dtype=np.float32)) for v in (0, 6)]
        return graph.node("Clip", [tensor, *bounds], name)
    if kind in {"silu", "hardswish"}:
        gate = _activation(graph, f"{name}.gate", {"silu": "sigmoid", "hardswish": "hardsigmoid"}[kind], tensor)
        return graph.node("Mul", [tensor, gate], name)
    onnx_kind, attributes = _UNARY[kind]
    return graph.node(onnx_kind, [tensor], name, **attributes)


def _conv(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    kernel = signature.get("k")
    inputs, outputs = signature.channels[0], signature.channels[-1]
    groups = inputs if signature.op.startswith("dwconv") else signature.get("g")[0]
    weight = graph.weight(f"{name}.w", outputs, inputs // groups, *kernel)
    bias = graph.weight(f"{name}.b", outputs)
    return graph.node(
        "Conv",
        [sources[0], weight, bias],
        name,
        kernel_shape=kernel,
        strides=signature.get("s"),
        pads=signature.get("p") * 2,
        dilations=signature.get("d"),
        group=groups,
    )


def _linear(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    inputs, outputs = signature.channels
    weight = graph.weight(f"{name}.w", outputs, inputs)
    return graph.node("Gemm", [sources[0], weight, graph.weight(f"{name}.b", outputs)], name, transB=1)


def _pool(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    kind = "MaxPool" if signature.op == "max_pool2d" else "AveragePool"
    return graph.node(
        kind,
        sources,
        name,
        kernel_shape=signature.get("k"),
        strides=signature.get("s"),
        pads=signature.get("p") * 2,
        ceil_mode=signature.get("c")[0],
    )


def _mean(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    axes = graph.weight(f"{name}.axes", values=np.array(signature.get("axes"), dtype=np.int64))
    return graph.node("ReduceMean", [sources[0], axes], name, keepdims=0)


def _adaptive(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    if any(size != 1 for size in signature.get("out")):
        raise TableError("adaptive pooling to more than one pixel cannot be measured yet")
    return graph.node("GlobalAveragePool", sources, name)


def _batch_norm(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    ones = [graph.weight(f"{name}.{p}", values=np.ones(signature.channels[0], dtype=np.float32)) for p in "sbmv"]
    return graph.node("BatchNormalization", [sources[0], *ones], name)


def _layer_norm(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    ones = [graph.weight(f"{name}.{p}", values=np.ones(signature.channels[0], dtype=np.float32)) for p in "sb"]
    return graph.node("LayerNormalization", [sources[0], *ones], name)


def _permute(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    return graph.node("Transpose", sources, name, perm=signature.get("order"))


def _cat(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    return graph.node("Concat", sources, name, axis=signature.get("axis")[0])


def _slice(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    start, end, step = signature.get("window")
    values = {"starts": start, "ends": end, "axes": signature.get("axis")[0], "steps": step}
    bounds = [graph.weight(f"{name}.{key}", values=np.array([v], dtype=np.int64)) for key, v in values.items()]
    return graph.node("Slice", [sources[0], *bounds], name)


def _pad(graph: _Graph, name: str, signature: Signature, sources: list[str]) -> str:
    # PyTorch names (before, after) pairs from the last dimension on, ONNX all befores and then all afters
    pads = signature.get("pads")
    rank = len(signature.get("before")) + 1 + len(signature.get("after"))
    pairs = [pads[i : i + 2] for i in range(0, len(pads), 2)]
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs[::-1]
    values = np.array([before for before, _ in pairs] + [after for _, after in pairs], dtype=np.int64)
    return graph.node("Pad", [sources[0], graph.weight(f"{name}.pads", values=values)], name)


_BUILDERS: dict[str, Callable[[_Graph, str, Signature, list[str]], str]] = {
    "conv": _conv,
    "dwconv": _conv,
    "linear": _linear,
    "matmul": lambda graph, name, _, sources: graph.node("MatMul", sources, name),
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "mean": _mean,
    "adaptive_avg_pool2d": _adaptive,
    "batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm,
    "permute": _permute,
    "transpose": _permute,
    "cat": _cat,
    "slice": _slice,
    "pad": _pad,
}
