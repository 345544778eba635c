"""One form for each layer of an exported network, whatever ranks and batch sizes the exporter had before it.

A linear layer is one Gemm over all rows, between reshapes: ONNX Runtime makes the same of MatMul and Add where it knows
the batch size, and runs only Gemm in int8 with its bias. Zeros around the input of a convolution are its own padding,
also where a quantizer stands between them, of which zero is a level. A mask that hides nothing goes. A sum that only a
layer norm reads is a Sum: ONNX Runtime 1.31 fuses an Add into the norm, and takes 3 to 7 times as long for that on a
processor (65 positions, 64 to 512 channels; benchmarks/sums.py).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def unify(graph: onnx.GraphProto) -> None:
    """Brings linear layers and padded convolutions into one form, and drops masks that hide nothing, in place."""
    _linear_layers(graph)
    _reshapes(graph)
    _paddings(graph)
    _empty_masks(graph)
    _sums(graph)


def _sums(graph: onnx.GraphProto) -> None:
    users = _users(graph)
    for node in graph.node:
        readers = users.get(node.output[0], [])
        if node.op_type == "Add" and [reader.op_type for reader in readers] == ["LayerNormalization"]:
            node.op_type = "Sum"


def weights_of(graph: onnx.GraphProto) -> set[str]:
    """Returns the names of constant tensors and of what quantizers and transpositions make of them."""
    names = {value.name for value in graph.initializer}
    for node in graph.node:
        if node.op_type in {*_QUANTIZERS, "Transpose"} and all(name in names for name in node.input if name):
            names.update(node.output)
    return names


def _linear_layers(graph: onnx.GraphProto) -> None:
    constants, shapes = weights_of(graph), _shapes(graph)
    users, makers = _users(graph), {name: node for node in graph.node for name in node.output}
    replaced: dict[str, list[onnx.NodeProto]] = {}
    gone: set[str] = set()
    for node in graph.node:
        x, weight = (*node.input, "", "")[:2]
        if node.op_type != "MatMul" or weight not in constants or len(shapes.get(weight, ())) != 2:
            continue
        shape, last, bias = shapes.get(x), node, []
        if shape is None or len(shape) < 2 or None in shape[1:]:
            continue
        inputs, outputs = shapes[weight]
        following = users.get(node.output[0], [])
        if len(following) == 1 and following[0].op_type == "Add" and node.output[0] not in _outputs(graph):
            (other,) = [name for name in following[0].input if name != node.output[0]] or [""]
            if other in constants and shapes.get(other) == (outputs,):
                last, bias = following[0], [other]
        made = makers.get(weight)
        if made is not None and made.op_type == "Transpose":
            weight, transposed = made.input[0], 1
        else:
            transposed = 0
        name = last.output[0]
        rows, result = (x, name) if len(shape) == 2 else (f"{name}_rows", f"{name}_flat")
        gemm = helper.make_node(
            "Gemm",
            [rows, weight, *bias],
            [result],
            name=node.name,
            transB=transposed,
        )
        gemm.metadata_props.extend(node.metadata_props)
        parts = [gemm]
        if len(shape) != 2:
            before = _sizes(graph, [-1, inputs])
            after = _sizes(graph, [-1, *shape[1:-1], outputs])
            parts.insert(0, helper.make_node("Reshape", [x, before], [rows], name=f"{name}_rows"))
            parts.append(helper.make_node("Reshape", [result, after], [name], name=f"{name}_back"))
        replaced[name] = parts
        gone.update({node.output[0], name})
    _replace(graph, replaced, gone)


def _reshapes(graph: onnx.GraphProto) -> None:
    """Makes one of several reshapes in a row; the last names all sizes, or leaves one to be told from the others."""
    values = {value.name: value for value in graph.initializer}
    makers: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        if node.op_type == "Reshape":
            before, sizes = makers.get(node.input[0]), values.get(node.input[1])
            if before is not None and sizes is not None and numpy_helper.to_array(sizes).all():
                node.input[0] = before.input[0]
            makers[node.output[0]] = node
    _replace(graph, {}, set())


def _paddings(graph: onnx.GraphProto) -> None:
    constants = {value.name: value for value in graph.initializer}
    users, makers = _users(graph), {name: node for node in graph.node for name in node.output}
    gone: set[str] = set()
    for conv in graph.node:
        if conv.op_type != "Conv" or any(a.name == "auto_pad" and a.s not in {b"", b"NOTSET"} for a in conv.attribute):
            continue
        # what stands between them keeps zero
        chain, tensor = [conv], conv.input[0]
        while tensor in makers and makers[tensor].op_type in _QUANTIZERS and len(users[tensor]) == 1:
            chain.append(makers[tensor])
            tensor = makers[tensor].input[0]
        pad = makers.get(tensor)
        if pad is None or pad.op_type != "Pad" or len(users[tensor]) != 1 or tensor in _outputs(graph):
            continue
        added = _zeros(pad, constants)
        if added is None or any(added[:2]) or any(added[len(added) // 2 :][:2]) or min(added) < 0:
            continue
        rank = len(added) // 2
        sides = np.array([*added[2:rank], *added[rank + 2 :]])
        own = next((list(a.ints) for a in conv.attribute if a.name == "pads"), [0] * len(sides))
        for attribute in [a for a in conv.attribute if a.name == "pads"]:
            conv.attribute.remove(attribute)
        conv.attribute.append(helper.make_attribute("pads", (sides + own).tolist()))
        chain[-1].input[0] = pad.input[0]
        gone.add(tensor)
    _replace(graph, {}, gone)


def _empty_masks(graph: onnx.GraphProto) -> None:
    """Drops what adds a mask of zeros to scores, and what replaces positions that would see nothing."""
    values = {value.name: value for value in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    same: dict[str, str] = {}
    for node in graph.node:
        mask = makers.get(node.input[1]) if node.op_type == "Add" else None
        if mask is None or mask.op_type != "Where" or mask.input[1] not in values:
            continue
        hidden = makers.get(mask.input[0])
        seen = hidden.input[0] if hidden is not None and hidden.op_type == "Expand" else mask.input[0]
        sources = [values[name] for name in (seen, mask.input[1]) if name in values]
        if len(sources) < 2 or not numpy_helper.to_array(sources[0]).all() or numpy_helper.to_array(sources[1]).any():
            continue
        softmax = next((user for user in _users(graph).get(node.output[0], []) if user.op_type == "Softmax"), None)
        if softmax is None:
            continue
        same[node.output[0]] = node.input[0]
        for user in _users(graph)[softmax.output[0]]:
            if user.op_type == "Where" and user.input[2] == softmax.output[0]:
                same[user.output[0]] = softmax.output[0]
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
    _replace(graph, {}, set(same) - _outputs(graph))


def _zeros(pad: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> list[int] | None:
    """Returns how much a Pad adds before and then behind each dimension; None if that is not constant, or no zeros."""
    inputs = [name for name in pad.input if name]
    if any(a.name == "mode" and a.s != b"constant" for a in pad.attribute) or len(inputs) > 3:
        return None
    if any(name not in constants for name in inputs[1:]):
        return None
    amounts, *value = (numpy_helper.to_array(constants[name]) for name in inputs[1:])
    return None if any(v.any() for v in value) else [int(v) for v in amounts]


def _replace(graph: onnx.GraphProto, replaced: dict[str, list[onnx.NodeProto]], gone: set[str]) -> None:
    """Puts nodes in the place of what made these results, and removes what made those that went."""
    nodes = []
    for node in graph.node:
        name = node.output[0]
        nodes.extend(replaced.get(name, [] if name in gone else [node]))
    needed, used = _outputs(graph), []
    for node in reversed(nodes):
        if needed & set(node.output):
            used.append(node)
            needed.update(node.input)
    weights = [value for value in graph.initializer if value.name in needed]
    infos = [value for value in graph.value_info if value.name not in gone]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(used))
    graph.initializer.extend(weights)
    graph.value_info.extend(infos)


def _users(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users


def _outputs(graph: onnx.GraphProto) -> set[str]:
    return {value.name for value in graph.output}


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int | None, ...]]:
    """Returns the shapes of tensors; a size that is free is None."""
    found: dict[str, tuple[int | None, ...]] = {value.name: tuple(value.dims) for value in graph.initializer}
    infos: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.value_info, *graph.output)
    for value in infos:
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            found[value.name] = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
    return found


def _sizes(graph: onnx.GraphProto, values: list[int | None]) -> str:
    """Adds sizes to reshape to, once: reshapes of one tensor to the same sizes are one for the runtime."""
    name = "shape_" + "_".join(map(str, values))
    if all(value.name != name for value in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
    return name
