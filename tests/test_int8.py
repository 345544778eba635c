"""int8: what is simulated is what is exported, what is asked for runs, and the cost model knows what runs."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automc.compression import Quantized, Quantizer, compress, magnitudes, quantize
from automc.costs import CostModel
from automc.devices import Device
from automc.graph import build_graph
from automc.models import VGG16, CifarResNet
from automc.recipes.deployed import deployed_outputs
from automc.recipes.export import export_onnx, export_program
from automc.recipes.onnx_file import int8_layers
from automc.search_spaces import Policy, SpaceConfig
from automc.search_spaces.policy import INT8_BITS
from tests.networks import Example, networks, priced, randomize, state_of

# an export takes a second: few examples, and none spent on shrinking
slow_export = settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def residual(option: str) -> Example:
    """A residual network and inputs that look like images."""
    model = randomize(CifarResNet(2, widths=(8, 12, 16), option=option), seed=0)
    return Example(model, torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


def all_int8(example: Example) -> Quantized:
    layers = [layer.name for layer in build_graph(*example).layers]
    assert layers
    return quantize(example.model, example.inputs, dict.fromkeys(layers, INT8_BITS))


def build(example: Example, model: CostModel, policy: Policy) -> nn.Module:
    compressed = compress(example.model, model.graph, policy, magnitudes(example.model, model.graph))
    return quantize(compressed.model, example.inputs, compressed.bits) if compressed.bits else compressed.model


def deployed(path: Path, inputs: Tensor) -> Tensor:
    return torch.from_numpy(deployed_outputs(path, [inputs], Device.local())[0])


@pytest.mark.parametrize("network", ["A", "B", "none", "vgg"])
def test_every_layer_asked_to_be_int8_runs_as_int8(network: str, tmp_path: Path) -> None:
    example = Example(randomize(VGG16(1 / 16), 0), torch.randn(4, 3, 32, 32)) if network == "vgg" else residual(network)
    export_onnx(all_int8(example), example.inputs, tmp_path / "m.onnx")
    found = int8_layers(tmp_path / "m.onnx")
    names = [name for name, layer in example.model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert sorted(found.asked) == sorted(names)
    assert found.run == found.asked
    assert found.layers == len(names)


@slow_export
@given(example=networks(batch=8), seed=st.integers(0, 2**16))
def test_deployed_is_what_was_simulated(example: Example, seed: int, tmp_path: Path) -> None:
    """Up to two levels of the last quantizers that both pass: a sum in another order may round to the next level."""
    model = priced(example)
    policy = model.space.decode(model.space.sample(np.random.default_rng(seed), 1)[0])
    built = build(example, model, policy)
    export_onnx(built, example.inputs, tmp_path / "m.onnx")
    with torch.no_grad():
        simulated = built(example.inputs)
    got = deployed(tmp_path / "m.onnx", example.inputs)
    spread = (simulated.max() - simulated.min()).item()
    assert (got - simulated).abs().max().item() <= max(0.05 * spread, 1e-3)
    found = int8_layers(tmp_path / "m.onnx")
    assert found.run == found.asked


@slow_export
@given(seed=st.integers(0, 2**16))
def test_the_runtime_runs_a_mixed_network_as_the_cost_model_says(seed: int, tmp_path: Path) -> None:
    example = residual("B")
    model = priced(example, SpaceConfig(bits=(8,), channel_multiple=4))
    index = model.space.sample(np.random.default_rng(seed), 1)[0]
    priced_kinds = Counter(signature.op.split("+")[0] for signature in model.signatures(index))
    export_onnx(build(example, model, model.space.decode(index)), example.inputs, tmp_path / "m.onnx")
    nodes = Counter(optimized(tmp_path / "m.onnx"))
    assert nodes["QLinearConv"] == priced_kinds["int8.conv"]
    assert nodes["QGemm"] == priced_kinds["int8.linear"]
    assert nodes["QLinearAdd"] == priced_kinds["int8.add"]
    assert nodes["Conv"] == priced_kinds["conv"]
    # moving a transposition the runtime sometimes adds a pair of its own
    assert nodes["QuantizeLinear"] >= priced_kinds["quantize"]
    assert nodes["DequantizeLinear"] >= priced_kinds["dequantize"]


def optimized(path: Path) -> list[str]:
    """The operators of the graph that the runtime makes of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path.with_suffix(".optimized")).graph.node]


def test_a_float_layer_before_an_int8_one_is_quantized_behind_its_own_batch_norm(tmp_path: Path) -> None:
    """Folding the BatchNorm of one layer must not move the quantizer of another."""
    first, last = ([nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Sigmoid()] for _ in range(2))
    between = [nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)]
    layers = [nn.Conv2d(3, 6, 3), *first, *between, *last]
    inputs = torch.randn(8, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    example = Example(randomize(nn.Sequential(*layers), 0), inputs)
    quantized = quantize(example.model, example.inputs, dict.fromkeys(["1", "6"], INT8_BITS))
    export_onnx(quantized, example.inputs, tmp_path / "m.onnx")
    with torch.no_grad():
        want, got = example.model(example.inputs), quantized(example.inputs)
        assert (got - want).abs().max() <= 0.1 * (want.max() - want.min())
        assert torch.allclose(deployed(tmp_path / "m.onnx", example.inputs), got, atol=1e-4)
    assert set(int8_layers(tmp_path / "m.onnx").run) >= {"1", "6"}


def test_int8_is_near_the_original() -> None:
    example = residual("A")
    with torch.no_grad():
        want, got = example.model(example.inputs), all_int8(example)(example.inputs)
    assert 0 < (got - want).abs().max() <= 0.1 * (want.max() - want.min())


def test_the_original_is_not_touched() -> None:
    example = residual("A")
    before = copy.deepcopy(state_of(example.model))
    all_int8(example)
    assert state_of(example.model) == before


def test_a_quantized_network_survives_its_state() -> None:
    example = residual("A")
    quantized = all_int8(example)
    other = quantize(example.model, example.inputs[:1], dict.fromkeys(quantized.layers.values(), INT8_BITS))
    with torch.no_grad():
        assert not torch.equal(other(example.inputs), quantized(example.inputs))
        other.load_state_dict(quantized.state_dict())
        assert torch.equal(other(example.inputs), quantized(example.inputs))


def test_weights_are_stored_in_eight_bits(tmp_path: Path) -> None:
    example = residual("A")
    export_onnx(example.model, example.inputs, tmp_path / "float.onnx")
    export_onnx(all_int8(example), example.inputs, tmp_path / "int8.onnx")
    kinds = {value.data_type for value in onnx.load(tmp_path / "int8.onnx").graph.initializer if len(value.dims) == 4}
    assert kinds == {onnx.TensorProto.INT8}


def test_a_program_has_fake_quantize_and_the_same_numbers_for_any_batch(tmp_path: Path) -> None:
    example = residual("A")
    quantized = all_int8(example)
    export_program(quantized, example.inputs, tmp_path / "m.pt2")
    program = torch.export.load(tmp_path / "m.pt2")
    kinds = Counter(str(node.target) for node in program.graph.nodes)
    assert kinds["aten.fake_quantize_per_tensor_affine.tensor_qparams"] == len(quantized.quantizers)
    with torch.no_grad():
        assert torch.allclose(program.module()(example.inputs[:5]), quantized(example.inputs[:5]), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_quantizer_gives_the_numbers_of_fake_quantize(dtype: torch.dtype) -> None:
    quantizer = Quantizer()
    generator = torch.Generator().manual_seed(0)
    for low, high in ((0.0, 6.0), (-1.0, 3.0), (-2.5, 0.0), (-1e-3, 1e-3)):
        x = (torch.rand(4, 8, 9, 9, generator=generator) * (high - low) + low).to(dtype)
        quantizer.observing = True
        quantizer(x)
        quantizer.settle()
        beyond = 1.5 * torch.cat([x, x + quantizer.scale / 2]).to(dtype)
        want = torch.fake_quantize_per_tensor_affine(beyond.float(), quantizer.scale, quantizer.zero_point, 0, 255)
        with torch.no_grad():
            assert torch.equal(quantizer(beyond), want.to(dtype))


def test_a_layer_that_cannot_run_in_int8_is_refused() -> None:
    example = residual("A")
    with pytest.raises(ValueError, match=r"layer 'layer1\.0' cannot run in int8"):
        quantize(example.model, example.inputs, {"layer1.0": INT8_BITS})
