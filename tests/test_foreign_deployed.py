"""Networks that nobody here wrote are exported, run in int8 and are priced as the runtime runs them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc.compression import Quantized, quantize
from automc.costs import CostModel
from automc.devices import Device, LocalBench, time_models
from automc.graph import ModelGraph, build_graph
from automc.graph.probe import largest_difference
from automc.latency_tables import Signature, measure_table
from automc.latency_tables.micro import side_by_side
from automc.recipes.deployed import deployed_outputs, feeds
from automc.recipes.export import export_onnx
from automc.recipes.onnx_file import int8_layers
from automc.recipes.verify import AGREEMENT, INT8_AGREEMENT
from automc.search_spaces import SpaceConfig, build_space
from automc.search_spaces.policy import INT8_BITS
from automc.tasks import Inputs, call
from tests.foreign import FOREIGN, foreign
from tests.networks import Branches, Mean, randomize


def graph_of(model: nn.Module, inputs: Inputs) -> ModelGraph:
    return build_graph(model, pytree.tree_map(lambda tensor: tensor[:1], inputs), limit_s=0)


def tensors(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(outputs) if torch.is_tensor(leaf)]


def deployed(path: Path, inputs: Inputs) -> list[Tensor]:
    return [torch.from_numpy(array) for array in deployed_outputs(path, [inputs], Device.local())]


def check(model: nn.Module, inputs: Inputs, layers: list[str], path: Path) -> Quantized:
    """Quantizes, exports and runs a network, and compares with its simulation."""
    quantized = quantize(model, inputs, dict.fromkeys(layers, INT8_BITS))
    export_onnx(quantized, inputs, path)
    with torch.no_grad():
        simulated = tensors(call(quantized, inputs))
    assert largest_difference(deployed(path, inputs), simulated) <= INT8_AGREEMENT
    found = int8_layers(path)
    # the runtime makes others int8 that stand between two of them, as the simulation does
    assert set(layers) <= set(found.asked) == set(quantized.layers.values())
    assert found.run == found.asked
    return quantized


def kinds(path: Path) -> Counter[str]:
    """The operators of the graph that the runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path.with_suffix(".optimized")).graph.node)


def cost_model(graph: ModelGraph) -> tuple[CostModel, list[Signature], list[Signature]]:
    """A network's prices, and what it runs in float and with all layers in int8."""
    model = CostModel(graph, build_space(graph, SpaceConfig(bits=(8,)), 1, (INT8_BITS, (32, 32))))
    indices = []
    for bits in ((32, 32), INT8_BITS):
        index = model.space.full.copy()
        for column, axis in enumerate(model.space.axes):
            if axis.field == "bits":
                index[column] = axis.options.index(bits)
        indices.append(index)
    return model, model.signatures(indices[0]), model.signatures(indices[1])


@pytest.mark.parametrize("name", FOREIGN)
def test_a_network_runs_in_int8_as_it_was_simulated_and_priced(name: str, tmp_path: Path) -> None:
    model, inputs = foreign(name, 8)
    graph = graph_of(model, inputs)
    layers = [layer.name for layer in graph.layers]
    modules = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert sorted(layers) == sorted(modules)
    check(model, inputs, layers, tmp_path / "m.onnx")
    nodes = kinds(tmp_path / "m.onnx")
    priced = Counter(signature.op for signature in cost_model(graph)[2])
    assert nodes["QLinearConv"] == priced["int8.conv"] + priced["int8.dwconv"]
    assert nodes["QGemm"] == priced["int8.linear"]
    assert nodes["QLinearAdd"] == priced["int8.add"]
    assert nodes["LayerNormalization"] + nodes["SkipLayerNormalization"] == priced["native_layer_norm"]
    # moving a transposition the runtime sometimes adds a pair of its own
    assert nodes["QuantizeLinear"] >= priced["quantize"]
    assert nodes["Softmax"] == priced["attention"]
    assert not nodes["Conv"] + nodes["Gemm"] + nodes["MatMulIntegerToFloat"]


@pytest.mark.parametrize(("name", "seed"), [("ViT", 0), ("BERT", 1), ("ConvNeXt", 2), ("MobileNetV2", 3)])
def test_half_of_a_networks_layers_run_in_int8(name: str, seed: int, tmp_path: Path) -> None:
    model, inputs = foreign(name, 8)
    rng = np.random.default_rng(seed)
    layers = [layer.name for layer in graph_of(model, inputs).layers if rng.random() < 0.5]
    check(model, inputs, layers, tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["ViT", "BERT"])
def test_a_transformer_is_exported_for_any_batch_with_a_dataclass_as_its_output(name: str, tmp_path: Path) -> None:
    model, inputs = foreign(name, 2)
    export_onnx(model, inputs, tmp_path / "m.onnx")
    for batch in (1, 5):
        inputs = foreign(name, batch).inputs
        with torch.no_grad():
            expected = tensors(call(model, inputs))
        assert largest_difference(deployed(tmp_path / "m.onnx", inputs), expected) <= AGREEMENT
    (timing,) = time_models(LocalBench(), [tmp_path / "m.onnx"], [feeds(inputs)], runs=2, passes=2)
    assert timing.us > 0
    nodes = kinds(tmp_path / "m.onnx")
    assert nodes["Gemm"] + nodes["FusedGemm"] == sum(isinstance(module, nn.Linear) for module in model.modules())
    # which the runtime would make of a norm and the sum before it, to take several times as long
    assert nodes["SkipLayerNormalization"] == 0 < nodes["Sum"]
    # no mask where nothing is hidden
    assert nodes["IsNaN"] == nodes["Where"] == 0 if name == "ViT" else nodes["IsNaN"] == 3


def test_a_mask_still_hides_what_it_hides(tmp_path: Path) -> None:
    model, inputs = foreign("BERT", 3)
    assert isinstance(inputs, dict)
    export_onnx(model, inputs, tmp_path / "m.onnx")
    inputs["attention_mask"][1, 5:] = 0
    other = inputs | {"input_ids": inputs["input_ids"].clone()}
    other["input_ids"][1, 6:] = 7
    (one,), (two,) = deployed(tmp_path / "m.onnx", inputs), deployed(tmp_path / "m.onnx", other)
    assert torch.equal(one[1], two[1])
    with torch.no_grad():
        assert largest_difference([one], tensors(call(model, inputs))) <= AGREEMENT


def test_every_operator_of_these_networks_is_measured() -> None:
    signatures: set[Signature] = set()
    for name in FOREIGN:
        _, floats, ints = cost_model(graph_of(*foreign(name)))
        signatures |= {*floats, *ints}
    session = onnxruntime.InferenceSession(side_by_side(sorted(signatures)), providers=["CPUExecutionProvider"])
    assert len(session.get_outputs()) == len(signatures) > 100
    few = {signature.op: signature for signature in sorted(signatures)}
    table = measure_table(LocalBench(), list(few.values()))
    assert {"attention", "embedding", "select", "native_layer_norm", "reshape", "int8.permute"} <= set(few)
    assert all(table.lookup(signature).us > 0 for signature in few.values())


class Gate(nn.Module):
    """Squeeze and excitation, its last layers without biases and on the channels' last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.BatchNorm2d(8)
        self.down, self.up = nn.Linear(8, 4, bias=False), nn.Linear(4, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(self.norm(self.conv(nn.functional.pad(x, (0, 1, 1, 0)))))
        gate = self.up(self.down(x.mean((2, 3), keepdim=True).permute(0, 2, 3, 1)).relu())
        return x * gate.sigmoid().permute(0, 3, 1, 2)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_layers_around_gates_concatenation_and_pooling_run_in_int8(seed: int | None, tmp_path: Path) -> None:
    branches = Branches(nn.Conv2d(8, 4, 1), nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(8, 4, 1)))
    tail = [nn.Conv2d(8, 8, 3), nn.LeakyReLU(), nn.Conv2d(8, 8, 1), nn.Hardswish(), Mean(), nn.Linear(8, 5)]
    layers = [nn.Conv2d(3, 8, 3), Gate(), branches, *tail]
    model = randomize(nn.Sequential(*layers), 0)
    inputs = torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(seed)
    found = [layer.name for layer in graph_of(model, inputs).layers]
    assert len(found) == 9
    check(model, inputs, found if seed is None else [name for name in found if rng.random() < 0.5], tmp_path / "m.onnx")
    if seed is None:
        priced = Counter(signature.op for signature in cost_model(graph_of(model, inputs))[2])
        nodes = kinds(tmp_path / "m.onnx")
        for kind, name in {"Concat": "cat", "AveragePool": "avg_pool2d", "LeakyRelu": "leaky_relu"}.items():
            assert nodes[f"QLinear{kind}"] == priced[f"int8.{name}"] == 1
