"""What an exported ONNX file says: its layers by their modules' names, its int8 weights, and what runs in int8."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from automc.devices.child import run_child
from automc.recipes.onnx_forms import unify, weights_of

_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
_INT8_LAYERS = frozenset({"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat"})
_MOVES = frozenset("MaxPool Slice Reshape Flatten Transpose Squeeze Unsqueeze".split())  # keep the levels they get
_SCOPES = "pkg.torch.onnx.name_scopes"
_WRAPPER = "model."  # where a network with quantizers has the network


@dataclass(frozen=True)
class Int8Layers:
    """Layers of an ONNX file, by name.

    Attributes:
        layers: how many layers with weights the file has.
        asked: those that the file has between quantizers.
        run: those of them that the runtime runs in int8, by its own optimized graph.
    """

    layers: int
    asked: tuple[str, ...]
    run: tuple[str, ...]


def int8_layers(path: Path) -> Int8Layers:
    """Returns which layers of an ONNX file are to run in int8 and which do here.

    Raises:
        RuntimeFailure: the runtime does not load a file that asks for int8.
    """
    graph = onnx.load(path).graph
    levels: set[str] = set()
    for node in graph.node:
        if node.op_type == "DequantizeLinear" or (node.op_type in _MOVES and node.input[0] in levels):
            levels.update(node.output)
    layers = _layers(graph)
    asked = [node.name for node in layers if set(node.input[:2]) <= levels]
    if not asked:
        return Int8Layers(len(layers), (), ())
    nodes, _ = run_child("nodes", f"Loading {path.name}", 1, models=[str(path)], threads=1)
    # the runtime adds a number to the name of what it fuses
    found = {re.sub(r"_token_\d+$", "", name) for kind, name in nodes if kind in _INT8_LAYERS}
    return Int8Layers(len(layers), tuple(asked), tuple(name for name in asked if name in found))


def tidy(model: onnx.ModelProto) -> None:
    """Gives layers one form and their modules' names, stores int8 weights as such, drops what tells of the machine."""
    _store_levels(model)
    unify(model.graph)
    _name_layers(model.graph)
    for node in model.graph.node:
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
    del model.graph.metadata_props[:]


def _layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    weights = weights_of(graph)
    return [node for node in graph.node if node.op_type in _LAYERS and node.input[1] in weights]


def _name_layers(graph: onnx.GraphProto) -> None:
    used = {node.name for node in graph.node}
    wrapped = any(value.name.startswith(_WRAPPER) for value in graph.initializer)
    for node in _layers(graph):
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get(_SCOPES)
        if scopes is None:
            continue
        name = ast.literal_eval(scopes)[-2]
        name = name.removeprefix(_WRAPPER) if wrapped else name
        if name and name not in used:
            used.add(name)
            node.name = name


def _store_levels(model: onnx.ModelProto) -> None:
    """Replaces weights and their quantizers by the levels that these give: a quarter of the bytes."""
    graph = model.graph
    known = {value.name for value in graph.initializer}
    constant = []
    for node in graph.node:
        if node.op_type != "DequantizeLinear" and all(name in known for name in node.input if name):
            constant.append(node)
            known.update(node.output)
    levels = [node.output[0] for node in constant if node.op_type == "QuantizeLinear"]
    if not levels:
        return
    leading = set(levels)
    for node in reversed(constant):
        leading.update(node.input if leading & set(node.output) else ())
    constant = [node for node in constant if leading & set(node.output)]
    outputs = [
        helper.make_value_info(name, helper.make_tensor_type_proto(onnx.TensorProto.INT8, None)) for name in levels
    ]
    part = helper.make_graph(constant, "constants", [], outputs, list(graph.initializer))
    values = ReferenceEvaluator(helper.make_model(part, opset_imports=model.opset_import)).run(None, {})
    kept = [node for node in graph.node if node.output[0] not in levels]
    # what only led to the levels goes; later operators first, so that a chain goes as a whole
    for node in reversed(constant):
        needed = {name for other in kept for name in other.input} | {value.name for value in graph.output}
        if node in kept and not needed & set(node.output):
            kept.remove(node)
    needed = {name for node in kept for name in node.input}
    weights = [value for value in graph.initializer if value.name in needed]
    weights += [numpy_helper.from_array(value, name) for name, value in zip(levels, values, strict=True)]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
