"""Layers at any of 2 to 8 bits: what is on levels, what is lost, and that int8 stays what the runtime takes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automc.compression import Methods, Quantized, Quantizer, compress, magnitudes, quantize
from automc.compression.quantization.clipping import METHODS, clip
from automc.compression.quantization.equalization import equalize
from automc.devices import Device
from automc.errors import ConfigError
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.recipes.deployed import deployed_outputs
from automc.recipes.export import export_onnx, export_program
from automc.search_spaces import Choice, Policy
from automc.search_spaces.policy import INT8_BITS
from tests.networks import Example, Mean, networks, randomize, smooth_images, state_of

bits = st.sampled_from([2, 3, 4, 5, 6, 7, 8, 32])
NEAREST = Methods(rounding="nearest")


def residual() -> Example:
    return Example(randomize(CifarResNet(2, widths=(8, 12, 16), option="B"), seed=0), smooth_images(16))


def layers_of(example: Example) -> list[str]:
    return [layer.name for layer in build_graph(*example).weighted]


def all_at(example: Example, pair: tuple[int, int], methods: Methods | None = None) -> Quantized:
    return quantize(example.model, example.inputs, dict.fromkeys(layers_of(example), pair), methods)


@torch.no_grad()
def outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    result = model(inputs)
    assert isinstance(result, Tensor)
    return result


def reads(model: nn.Module, example: Example) -> dict[str, tuple[Tensor, Tensor]]:
    """The input and the weight with which each changed layer of a quantized network really computes."""
    assert isinstance(model, Quantized)
    found: dict[str, tuple[Tensor, Tensor]] = {}
    before = model._before

    def note(made, args):
        result = before(made, args)
        if made in model.layers:
            found[model.layers[made]] = result[:2]
        return result

    model._before = note  # type: ignore[method-assign]
    outputs(model, example.inputs)
    model._before = before  # type: ignore[method-assign]
    return found


@given(networks(batch=4), bits, bits)
def test_everything_that_a_layer_reads_is_on_its_levels(example: Example, w: int, a: int) -> None:
    if w == a == 32 or (w, a) == INT8_BITS:
        return
    quantized = all_at(example, (w, a))
    read = reads(quantized, example)
    assert set(read) == set(layers_of(example)) == set(quantized.bits)
    for name, (x, weight) in read.items():
        layer = quantized.model.get_submodule(name)
        if w == 32:
            assert torch.equal(weight, example.model.get_submodule(name).weight)  # type: ignore[arg-type]
        else:
            levels = quantized.state_dict()[f"model.{name}.weight"]
            assert levels.dtype == torch.int8
            assert levels.abs().max() <= 2 ** (w - 1) - 1
            assert all(len(channel.unique()) <= 2**w for channel in weight)
        assert a == 32 or len(x.unique()) <= 2**a
        assert hasattr(layer, "input_quantizer") == (a < 32)


@settings(max_examples=10)
@given(networks(batch=8))
def test_more_bits_are_nearer_to_the_original(example: Example) -> None:
    want = outputs(example.model, example.inputs)
    errors = [(outputs(all_at(example, (n, n), NEAREST), example.inputs) - want).norm() for n in (2, 4, 6)]
    assert errors[2] <= errors[1] * 1.05
    assert errors[1] <= errors[0] * 1.05
    assert errors[2] <= 0.25 * want.norm()


@settings(max_examples=10)
@given(networks(batch=4))
def test_int8_by_default_is_min_max_and_nearest(example: Example) -> None:
    layers = [layer.name for layer in build_graph(*example).layers]
    plain = Methods(clipping="minmax", weight_clipping="minmax", rounding="nearest")
    one, other = (quantize(example.model, example.inputs, dict.fromkeys(layers, INT8_BITS), m) for m in (None, plain))
    assert torch.equal(outputs(one, example.inputs), outputs(other, example.inputs))
    assert not [name for name, _ in one.named_modules() if name.endswith("input_quantizer")]
    for name in one.layers.values():
        layer = one.model.get_submodule(name)
        assert isinstance(layer.weight, Tensor)
        assert (layer.weight.flatten(1).abs().amax(1) <= 127).all()


class Tokens(nn.Module):
    """Linear layers on inputs of three dimensions, one without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.up, self.down, self.head = nn.Linear(8, 16), nn.Linear(16, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.down(torch.relu(self.up(tokens)))
        return self.head(tokens.mean(1))


def test_linear_layers_take_inputs_of_any_rank() -> None:
    example = Example(randomize(Tokens(), 0), smooth_images(8))
    assert layers_of(example) == ["stem", "up", "down", "head"]
    want = outputs(example.model, example.inputs)
    errors = [(outputs(all_at(example, (n, n)), example.inputs) - want).norm() / want.norm() for n in (3, 6)]
    assert 0 < errors[1] < errors[0]
    assert errors[1] < 0.1


@pytest.mark.parametrize("pair", [(4, 4), (3, 8), (4, 32), (32, 5)])
def test_an_exported_file_gives_the_simulated_numbers(pair: tuple[int, int], tmp_path: Path) -> None:
    example = Example(randomize(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), Mean()), 0),
                      smooth_images(8))  # fmt: skip
    quantized = all_at(example, pair)
    want = outputs(quantized, example.inputs)
    export_onnx(quantized, example.inputs, tmp_path / "m.onnx")
    got = torch.from_numpy(deployed_outputs(tmp_path / "m.onnx", [example.inputs], Device.local())[0])
    assert torch.allclose(got, want, atol=1e-4)
    export_program(quantized, example.inputs, tmp_path / "m.pt2")
    again = torch.export.load(tmp_path / "m.pt2").module()(example.inputs[:3])
    assert torch.allclose(again, want[:3], atol=1e-4)


def test_a_mixed_network_keeps_int8_where_it_was_asked_for() -> None:
    example = residual()
    names = layers_of(example)
    pairs = itertools.cycle([INT8_BITS, (4, 4), (3, 32), (32, 32)])
    asked = dict(zip(names, pairs, strict=False))
    quantized = quantize(example.model, example.inputs, {n: pair for n, pair in asked.items() if pair != (32, 32)})
    for name, pair in asked.items():
        if pair != (32, 32):  # a float layer between two in int8 is in int8 too
            assert quantized.bits[name] == pair
    other = Quantized(example.model, example.inputs[:1], asked)
    other.load_state_dict(quantized.state_dict())
    assert torch.equal(outputs(other, example.inputs), outputs(quantized, example.inputs))
    before = state_of(example.model)
    quantize(example.model, example.inputs, asked, Methods(equalization=True))
    assert state_of(example.model) == before


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("levels", [3, 15, 255])
def test_every_clipping_covers_what_matters(method: str, levels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(20_000, generator=generator)
    for x in (normal, normal.relu(), -normal.abs(), normal + 3, torch.zeros(5), torch.ones(5), -torch.ones(1)):
        low, high = clip(x, method, levels)
        assert min(x.min().item(), 0) <= low <= 0 <= high <= max(x.max().item(), 0)
        quantizer = Quantizer(levels.bit_length(), method)
        quantizer.calibrate(x)
        with torch.no_grad():
            got = quantizer(x)
            assert torch.equal(quantizer(torch.zeros(1)), torch.zeros(1))
        assert len(got.unique()) <= levels + 1
        assert (got - x).norm() <= 0.95 * x.norm()


@pytest.mark.parametrize("levels", [3, 7, 15])
def test_fewer_levels_are_better_spent_on_the_middle(levels: int) -> None:
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    x[:3] *= 30
    errors = {}
    for method in METHODS:
        quantizer = Quantizer(levels.bit_length(), method)
        quantizer.calibrate(x)
        with torch.no_grad():
            errors[method] = (quantizer(x) - x).square().mean()
    assert errors["mse"] == min(errors.values())
    assert errors["mse"] < 0.5 * errors["minmax"]


@given(networks(batch=2))
def test_equalization_changes_no_output(example: Example) -> None:
    equal = equalize(example.model, example.inputs, layers_of(example))
    want = outputs(example.model, example.inputs)
    assert torch.allclose(outputs(equal, example.inputs), want, atol=1e-4 * max(1, float(want.abs().max())))


def test_equalization_gives_two_layers_like_ranges() -> None:
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), Mean()]
    model = randomize(nn.Sequential(*layers), 0)
    with torch.no_grad():
        layers[1].weight.mul_(torch.tensor([0.01, 1.0, 10.0, 0.1, 3.0, 1.0]))  # type: ignore[operator]
    equal = equalize(model, smooth_images(2), ["0", "3"])
    norm, second = equal.get_submodule("1"), equal.get_submodule("3")
    assert isinstance(norm, nn.BatchNorm2d) and isinstance(second, nn.Conv2d) and norm.running_var is not None
    first = layers[0].weight.flatten(1).abs().amax(1) * norm.weight.abs() / (norm.running_var + norm.eps).sqrt()  # type: ignore[operator, union-attr]
    assert torch.allclose(first, second.weight.abs().amax((0, 2, 3)), rtol=1e-3)
    assert equalize(model, smooth_images(2), ["0"]).state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("w", [2, 3, 4])
@pytest.mark.parametrize(
    "layer", [nn.Conv2d(8, 16, 3), nn.Conv2d(8, 16, 3, 2, 1, groups=4), nn.Conv2d(8, 8, 3, groups=8)]
)
def test_second_order_rounding_keeps_a_layer_nearer_to_what_it_gave(layer: nn.Conv2d, w: int) -> None:
    mixed = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), layer, nn.BatchNorm2d(layer.out_channels), Mean())
    example = Example(randomize(mixed, 0), smooth_images(32))
    want, errors = heard(example.model, example.model, "3", example), []
    for methods in (NEAREST, Methods()):
        quantized = quantize(example.model, example.inputs, {"2": (w, 32)}, methods)
        errors.append((heard(quantized.model, quantized, "2", example) - want).norm())
    assert errors[1] < errors[0]


def heard(owner: nn.Module, model: nn.Module, name: str, example: Example) -> Tensor:
    seen: list[Tensor] = []
    handle = owner.get_submodule(name).register_forward_hook(lambda module, args, output: seen.append(output.clone()))
    outputs(model, example.inputs)
    handle.remove()
    return seen[0]


def test_second_order_rounding_loses_less_at_four_bits() -> None:
    example = residual()
    want = outputs(example.model, example.inputs)
    nearest, second = (outputs(all_at(example, (4, 4), m), example.inputs) - want for m in (NEAREST, Methods()))
    assert second.norm() < 0.8 * nearest.norm()


@pytest.mark.parametrize(
    ("unit", "choice", "message"),
    [
        ("conv1", Choice(weight_bits=1, activation_bits=8), "gives 'conv1' 1 and 8 bits; known are 2 to 8, or 32"),
        ("conv1", Choice(weight_bits=4, activation_bits=1), "gives 'conv1' 4 and 1 bits; known are 2 to 8, or 32"),
        ("layer1.0", Choice(weight_bits=4, activation_bits=4), "'layer1.0' fewer bits, which is no layer"),
        ("layer1.0", Choice(weight_bits=8, activation_bits=8), "asks for int8 in 'layer1.0', which is no layer"),
    ],
)
def test_a_policy_with_bits_that_nothing_has_is_refused(unit: str, choice: Choice, message: str) -> None:
    model, inputs = residual()
    graph = build_graph(model, inputs[:1])
    with pytest.raises(ConfigError, match=message):
        compress(model, graph, Policy({unit: choice}), magnitudes(model, graph))
