"""Recovery without training: what least squares gives back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from automc.compression import LeastSquares, compress, magnitudes
from automc.compression.recovery import least_squares
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.search_spaces import Choice, Policy
from tests.networks import Example, Mean, Residual, everything, halved, keep, networks, randomize, smooth_images
from tests.refits import alike, error, relative_error


@settings(max_examples=20)
@given(networks(batch=8))
def test_a_refit_of_what_lost_nothing_changes_nothing(example: Example) -> None:
    graph = build_graph(*example)
    compressed = compress(example.model, graph, everything(graph), magnitudes(example.model, graph))
    LeastSquares(example.model, graph, example.inputs).refit(compressed)
    with torch.no_grad():
        expected, outputs = example.model(example.inputs), compressed.model(example.inputs)
    assert torch.equal(outputs, expected)


@pytest.mark.parametrize("seed", range(4))
def test_a_refit_brings_outputs_nearer_to_the_originals(seed: int) -> None:
    model = alike(seed)
    graph = build_graph(model, smooth_images(1))
    before = compress(model, graph, halved(graph), magnitudes(model, graph))
    after = compress(model, graph, halved(graph), magnitudes(model, graph))
    LeastSquares(model, graph, smooth_images(64, seed=1)).refit(after)
    unseen = smooth_images(64, seed=2)
    assert error(after.model, model, unseen) < 0.5 * error(before.model, model, unseen)


@pytest.mark.parametrize("seed", range(4))
def test_a_refit_makes_up_for_dropped_blocks_too(seed: int) -> None:
    model = randomize(CifarResNet(2, widths=(8, 8, 8), option="B"), seed)
    graph = build_graph(model, smooth_images(1))
    policy = Policy({"layer1.1": Choice(keep=False), "layer3.1": Choice(keep=False)})
    before, after = compress(model, graph, policy, {}), compress(model, graph, policy, {})
    LeastSquares(model, graph, smooth_images(64, seed=1)).refit(after)
    unseen = smooth_images(64, seed=2)
    assert error(after.model, model, unseen) < error(before.model, model, unseen)


@pytest.mark.parametrize("layer", ["convolution", "linear", "flatten"])
def test_a_refit_recovers_channels_that_others_make_up_for(layer: str) -> None:
    first: nn.Module = nn.Conv2d(3, 8, 3, padding=1)
    rest: list[nn.Module] = [nn.Conv2d(8, 6, 3, 2, 1), Mean(), nn.Linear(6, 4)]
    inputs, unseen = smooth_images(64), smooth_images(64, seed=3)
    if layer == "flatten":
        rest = [nn.Flatten(), nn.Linear(8 * 256, 6)]
    if layer == "linear":
        first, rest = nn.Linear(12, 8), [nn.Linear(8, 6)]
        inputs, unseen = torch.randn(2, 256, 12, generator=torch.Generator().manual_seed(0))
    model = randomize(nn.Sequential(first, *rest), seed=0)
    gone = [1, 4, 6]
    with torch.no_grad():  # what goes is a mixture of what stays, and scores least
        for parameter in first.parameters():
            parameter[gone[0]] = 0.5 * parameter[0] - parameter[2]
            parameter[gone[1]] = parameter[3] + 0.25 * parameter[7]
            parameter[gone[2]] = -parameter[5]
    graph = build_graph(model, inputs[:1])
    scores = {"0": torch.tensor([0.0 if channel in gone else 1.0 for channel in range(8)])}
    compressed = compress(model, graph, keep("0", 5), scores)
    assert compressed.kept["0"] == (0, 2, 3, 5, 7)
    assert relative_error(compressed.model, model, unseen) > 0.05
    LeastSquares(model, graph, inputs).refit(compressed)
    assert relative_error(compressed.model, model, unseen) < 1e-3


@pytest.mark.parametrize("rows", [7, 16, 45, 64, 90, 180, 360])
@pytest.mark.parametrize("seed", range(3))
def test_a_refit_on_few_rows_is_not_worse_than_none(rows: int, seed: int) -> None:
    model = randomize(nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 8)), seed)
    generator = torch.Generator().manual_seed(seed)
    inputs, unseen = (torch.randn(count, 16, generator=generator) for count in (rows, 512))
    graph = build_graph(model, inputs[:1])
    before, after = (compress(model, graph, keep("0", 45), magnitudes(model, graph)) for _ in range(2))
    LeastSquares(model, graph, inputs).refit(after)
    assert error(after.model, model, unseen) < 1.05 * error(before.model, model, unseen)


def test_a_refit_is_the_same_for_the_same_seed() -> None:
    model = alike(0)
    graph = build_graph(model, smooth_images(1))

    def outputs(seed: int) -> Tensor:
        compressed = compress(model, graph, halved(graph), magnitudes(model, graph))
        LeastSquares(model, graph, smooth_images(32, seed=1), seed).refit(compressed)
        with torch.no_grad():
            result: Tensor = compressed.model(smooth_images(4, seed=2))
        return result

    assert torch.equal(outputs(0), outputs(0))
    assert not torch.equal(outputs(0), outputs(1))


def test_one_set_of_targets_serves_many_refits() -> None:
    model = alike(0)
    graph = build_graph(model, smooth_images(1))
    recovery = LeastSquares(model, graph, smooth_images(32, seed=1))
    results = []
    for policy in (halved(graph), everything(graph), halved(graph)):
        compressed = compress(model, graph, policy, magnitudes(model, graph))
        recovery.refit(compressed)
        results.append({name: tensor.tolist() for name, tensor in compressed.model.state_dict().items()})
    assert results[0] == results[2] != results[1]


def test_a_layer_that_runs_twice_is_left_as_it_is() -> None:
    shared = nn.Conv2d(6, 6, 3, padding=1)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), Mean(), nn.Linear(6, 3)]
    model = randomize(nn.Sequential(*layers), seed=0)
    graph = build_graph(model, smooth_images(1))
    compressed = compress(model, graph, halved(graph), magnitudes(model, graph))
    before = {name: tensor.clone() for name, tensor in compressed.model.state_dict().items()}
    LeastSquares(model, graph, smooth_images(32)).refit(compressed)
    after = compressed.model.state_dict()
    assert torch.equal(after["2.weight"], before["2.weight"])
    assert not torch.equal(after["7.weight"], before["7.weight"])


@pytest.mark.parametrize(("channels_last", "bfloat16"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(
    "reader",
    [
        nn.Conv2d(8, 6, 3, padding=1),
        nn.Conv2d(8, 6, (1, 3), stride=(2, 1), padding=(0, 2), bias=False),
        nn.Conv2d(8, 6, (3, 2), stride=2, padding=(2, 1), dilation=(2, 1)),
        nn.Conv2d(8, 6, 1, padding=1, stride=2),
    ],
)
def test_a_refit_solves_the_ridge_regression(reader: nn.Conv2d, channels_last: bool, bfloat16: bool) -> None:
    model = randomize(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Tanh(), reader), seed=0)
    # so small that every position is sampled
    inputs = torch.randn(48, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    if channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    graph = build_graph(model, inputs[:1])
    compressed = compress(model, graph, keep("0", 5), magnitudes(model, graph))
    assert isinstance(compressed.model, nn.Sequential)
    before = compressed.model.state_dict()["2.weight"].clone()
    recovery = LeastSquares(model, graph, inputs, bias_correction=False)
    with torch.no_grad():
        expected = model(inputs).double()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            recovery.refit(compressed)
            first = compressed.model[:2](inputs).float()
    if reader.bias is not None:
        expected -= reader.bias.detach().double()[:, None, None]
    assert expected[0, 0].numel() <= 16
    assert not isinstance(reader.padding, str)
    rows = nn.functional.unfold(first, reader.kernel_size, reader.dilation, reader.padding, reader.stride)
    x = rows.double().movedim(1, -1).flatten(0, 1)
    y = expected.flatten(2).movedim(1, -1).flatten(0, 1)
    ridge = 1e-3 * (x.T @ x).diagonal().mean() * torch.eye(x.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(x.T @ x + ridge, x.T @ y + ridge @ before.flatten(1).T.double())
    weight = compressed.model.state_dict()["2.weight"]
    assert torch.allclose(weight.flatten(1).T.double(), solution, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("policy", "first"),
    [(keep("layer2.1.conv1", 3), "layer2.1.conv1"), (Policy({"layer2.1": Choice(keep=False)}), "layer3.0.conv1")],
)
def test_layers_before_the_first_change_are_left_bit_for_bit(policy: Policy, first: str) -> None:
    model = randomize(CifarResNet(2, widths=(8, 8, 8), option="B"), seed=0)
    graph = build_graph(model, smooth_images(1))
    compressed = compress(model, graph, policy, magnitudes(model, graph))
    before = {name: tensor.clone() for name, tensor in compressed.model.state_dict().items()}
    LeastSquares(model, graph, smooth_images(64)).refit(compressed)
    after = compressed.model.state_dict()
    weights = [name for name in after if name.endswith(".weight") and "bn" not in name and "shortcut.1" not in name]
    reached = weights.index(f"{first}.weight")
    assert reached > 4
    assert all(torch.equal(after[name], before[name]) for name in weights[:reached])
    assert not any(torch.equal(after[name], before[name]) for name in weights[reached + 1 :])


def test_a_refit_in_bfloat16_leaves_float32_weights_that_are_nearly_the_same() -> None:
    model = alike(0)
    graph = build_graph(model, smooth_images(1))
    recovery, unseen = LeastSquares(model, graph, smooth_images(64, seed=1)), smooth_images(64, seed=2)
    exact, rounded, none = (compress(model, graph, halved(graph), magnitudes(model, graph)) for _ in range(3))
    recovery.refit(exact)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        recovery.refit(rounded)
    assert {parameter.dtype for parameter in rounded.model.parameters()} == {torch.float32}
    assert error(rounded.model, model, unseen) < 1.1 * error(exact.model, model, unseen)
    assert error(rounded.model, model, unseen) < 0.5 * error(none.model, model, unseen)


@pytest.mark.parametrize("norm", [True, False])
def test_bias_correction_makes_up_for_what_was_constant(norm: bool) -> None:
    first, second = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 1, bias=not norm)
    layers = [
        first,
        nn.ReLU(),
        second,
        nn.BatchNorm2d(5) if norm else nn.Identity(),
        nn.ReLU(),
        Mean(),
        nn.Linear(5, 3),
    ]
    model = randomize(nn.Sequential(*layers), seed=0)
    with torch.no_grad():
        first.weight[2:4] = 0
        assert first.bias is not None
        first.bias[2:4] = torch.tensor([3.0, 2.0])
    graph = build_graph(model, smooth_images(1))
    scores = {"0": torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0, 1.0])}
    unseen, errors = smooth_images(16, seed=2), []
    for bias_correction in (False, True):
        compressed = compress(model, graph, keep("0", 4), scores)
        LeastSquares(model, graph, smooth_images(32), bias_correction=bias_correction).refit(compressed)
        errors.append(relative_error(compressed.model[:5], model[:5], unseen))  # type: ignore[index]
    assert errors[1] < 1e-4 < 1e-2 < errors[0]


class InPlace(Residual):
    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        y += self.shortcut(x)
        return self.after(y)


class Swapped(Residual):
    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        return self.after(torch.add(shortcut, self.body(x)))


@pytest.mark.parametrize("kind", [Residual, InPlace, Swapped])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("projected", [True, False])
def test_sum_correction_makes_up_for_errors_of_what_is_added(kind: type[Residual], norm: bool, projected: bool) -> None:
    def block(shortcut: nn.Module) -> nn.Module:
        last = [nn.Conv2d(24, 8, 3, padding=1), nn.BatchNorm2d(8) if norm else nn.Identity()]
        return kind(nn.Sequential(nn.Conv2d(8, 24, 3, padding=1), nn.ReLU(), *last), shortcut, nn.Identity())

    second = nn.Conv2d(8, 8, 1) if projected else nn.Identity()
    layers = [nn.Conv2d(3, 8, 3), block(nn.Identity()), block(second), Mean(), nn.Linear(8, 3)]
    model = randomize(nn.Sequential(*layers), seed=0)
    graph = build_graph(model, smooth_images(1))
    policy, unseen, errors = keep("1.body.0", 6), smooth_images(64, seed=2), []
    for sum_correction in (False, True):
        compressed = compress(model, graph, policy, magnitudes(model, graph))
        LeastSquares(model, graph, smooth_images(128), sum_correction=sum_correction).refit(compressed)
        errors.append(relative_error(compressed.model[:3], model[:3], unseen))  # type: ignore[index]
    # a projection is fitted last, and can make up for little
    assert errors[1] < (1.0 if projected else 0.9) * errors[0]


def test_layers_that_share_their_weights_are_left_as_they_are() -> None:
    model = randomize(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)), seed=0)
    model.get_submodule("4").weight = model.get_submodule("2").weight
    inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    graph = build_graph(model, inputs[:1])
    compressed = compress(model, graph, everything(graph), {})
    with torch.no_grad():
        compressed.model.get_submodule("0").weight.mul_(0.5)  # type: ignore[operator]
    before = compressed.model.state_dict()["2.weight"].clone()
    recovery = LeastSquares(model, graph, inputs)
    recovery.refit(compressed)
    assert torch.equal(compressed.model.state_dict()["2.weight"], before)
    assert compressed.model.get_submodule("4").weight is compressed.model.get_submodule("2").weight


def test_the_original_is_observed_in_batches_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = alike(0)
    graph = build_graph(model, smooth_images(1))
    results = []
    for size in (2**25, 2**17):  # all 64 examples; 8 at a time
        monkeypatch.setattr(least_squares, "_BYTES", size)
        compressed = compress(model, graph, halved(graph), magnitudes(model, graph))
        LeastSquares(model, graph, smooth_images(64, seed=1)).refit(compressed)
        results.append(compressed.model)
    assert relative_error(results[1], results[0], smooth_images(16, seed=2)) < 1e-6
