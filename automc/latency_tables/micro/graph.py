"""An ONNX model of operators under construction, and what their signatures say of their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from automc.latency_tables.signature import Signature

OPSET = 20
_IR = 10

LOGICAL = {"bitwise_and": "And", "bitwise_or": "Or"}
BINARY = {"add": "Add", "mul": "Mul", "sub": "Sub", "div": "Div"}


class MicroGraph:
    """An ONNX graph under construction; weights are random, seeded."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.generator = np.random.default_rng(0)

    def input(self, name: str, shape: Sequence[int]) -> str:
        """Adds an input of floats."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def weight(self, name: str, *shape: int, values: np.ndarray | None = None) -> str:
        """Adds a constant, random unless its values are given."""
        if values is None:
            # scaled so that no activation overflows or becomes denormal, which would change the timing
            fan_in = max(int(np.prod(shape[1:])), 1)
            values = (self.generator.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds a node that is called like its result."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def serialize(self, outputs: Sequence[str]) -> bytes:
        """Returns the ONNX model."""
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "operators", self.inputs, results, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR)
        return model.SerializeToString()


def input_shapes(signature: Signature) -> list[tuple[int, ...]]:
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
    if first == "attention":
        (n, (queries, keys)), (heads, size) = (signature.get(name) for name in ("n", "l")), channels
        masks = [(*n, 1, queries, keys)] * signature.get("mask")[0]
        return [(*n, heads, queries, size), *[(*n, heads, keys, size)] * 2, *masks]
    if first == "embedding":
        return [signature.get("n")]
    if first in {"permute", "reshape"}:
        return [channels]
    if first == "native_group_norm":
        return [(*signature.get("n"), channels[0], *signature.get("hw"))]
    if first == "cat":
        before, after, (axis,) = (signature.get(name) for name in ("before", "after", "axis"))
        channel = dict(signature.rest).get("channel")
        if channel is None:
            return [(*before, part, *after) for part in channels]
        *parts, width = channels
        sizes = [*before, *after]
        return [_inserted(sizes, {axis: part, channel[0]: width}) for part in parts]
    shape = (*signature.get("before"), channels[0], *signature.get("after"))
    if first in BINARY or first in LOGICAL:
        repeated = dict(signature.rest).get("by", (1,) * len(shape))
        return [shape, tuple(size if same else 1 for size, same in zip(shape, repeated, strict=True))]
    return [shape]


def _inserted(sizes: Sequence[int], at: dict[int, int]) -> tuple[int, ...]:
    """Returns a shape with these sizes at these places, and the others in order at the others."""
    rest = iter(sizes)
    return tuple(at[place] if place in at else next(rest) for place in range(len(sizes) + len(at)))


def _conv_output(signature: Signature) -> tuple[int, ...]:
    sizes = (signature.get(name) for name in ("hw", "k", "s", "p", "d"))
    return tuple((h + 2 * p - d * (k - 1) - 1) // s + 1 for h, k, s, p, d in zip(*sizes, strict=True))


def conv_attributes(signature: Signature) -> dict[str, Any]:
    """Returns the attributes of a convolution's node."""
    depthwise = signature.op.startswith("dwconv")
    return {
        "kernel_shape": signature.get("k"),
        "strides": signature.get("s"),
        "pads": signature.get("p") * 2,
        "dilations": signature.get("d"),
        "group": signature.channels[0] if depthwise else signature.get("g")[0],
    }


def pool_attributes(signature: Signature) -> dict[str, Any]:
    """Returns the attributes of a pooling node."""
    return {
        "kernel_shape": signature.get("k"),
        "strides": signature.get("s"),
        "pads": signature.get("p") * 2,
        "ceil_mode": signature.get("c")[0],
    }


def producer(graph: MicroGraph, name: str, shape: tuple[int, ...], apart: bool = False, image: bool = True) -> str:
    """Adds something cheap that gives this shape.

    Args:
        graph: where to.
        name: its name.
        shape: its result's.
        apart: whether nothing may be fused with it.
        image: whether what has four dimensions is in the layout of convolutions.
    """
    if len(shape) == 4 and image:
        narrow = (shape[0], 1, *shape[2:])
        weight = graph.weight(name + ".w", shape[1], 1, 1, 1)
        tensor = graph.node("Conv", [graph.input(name + ".x", narrow), weight], name, kernel_shape=[1, 1])
        # pooling single pixels changes nothing, keeps the layout, and is never fused
        return graph.node("MaxPool", [tensor], name + ".apart", kernel_shape=[1, 1]) if apart else tensor
    return graph.node("Neg", [graph.input(name + ".x", shape)], name)


def slice_bounds(graph: MicroGraph, name: str, signature: Signature) -> list[str]:
    """Adds the constants that a slice takes beside its input."""
    start, end, step = signature.get("window")
    values = {"starts": start, "ends": end, "axes": signature.get("axis")[0], "steps": step}
    return [graph.weight(f"{name}.{key}", values=np.array([v], dtype=np.int64)) for key, v in values.items()]
