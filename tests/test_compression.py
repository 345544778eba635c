from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automc.compression import Compressed, LeastSquares, compress, magnitudes
from automc.errors import ConfigError
from automc.graph import ModelGraph, build_graph
from automc.models import CifarResNet
from automc.search_spaces import Choice, Policy
from tests.networks import Branches, Example, Mean, networks, randomize, state_of


def smooth_images(n: int, channels: int = 3, size: int = 16, seed: int = 0) -> Tensor:
    """Images whose neighbouring pixels are alike, as those of the world are."""
    coarse = torch.randn(n, channels, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=size, mode="bilinear")


def keep(unit: str, channels: int) -> Policy:
    return Policy({unit: Choice(channels=channels)})


def halved(graph: ModelGraph) -> Policy:
    return Policy({group.name: Choice(channels=group.channels // 2) for group in graph.prunable})


def everything(graph: ModelGraph) -> Policy:
    choices = {group.name: Choice(channels=group.channels) for group in graph.prunable}
    return Policy(choices | {block.name: Choice(keep=True) for block in graph.blocks})


@torch.no_grad()
def error(model: nn.Module, other: nn.Module, inputs: Tensor) -> float:
    return float((model(inputs) - other(inputs)).square().mean())


@torch.no_grad()
def relative_error(model: nn.Module, other: nn.Module, inputs: Tensor) -> float:
    return error(model, other, inputs) / float(other(inputs).square().mean())


@pytest.fixture(scope="module")
def resnet() -> tuple[nn.Module, ModelGraph]:
    model = randomize(CifarResNet(1, widths=(8, 12, 16), option="B"), seed=0)
    return model, build_graph(model, torch.ones(1, 3, 16, 16))


def alike(seed: int) -> nn.Module:
    """A network whose channels say nearly the same: each layer mixes few patterns."""
    model = randomize(CifarResNet(1, widths=(16, 16, 16), option="B"), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                patterns = module.weight[:4]
                mix = torch.randn(len(module.weight), 4, generator=generator) / 2
                module.weight.copy_(torch.einsum("op,pikl->oikl", mix, patterns) + 0.1 * module.weight)
    return model


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
    inputs = torch.randn(24, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    if channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    graph = build_graph(model, inputs[:1])
    compressed = compress(model, graph, keep("0", 5), magnitudes(model, graph))
    assert isinstance(compressed.model, nn.Sequential)
    before = compressed.model.state_dict()["2.weight"].clone()
    recovery = LeastSquares(model, graph, inputs)
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
    LeastSquares(model, graph, smooth_images(32)).refit(compressed)
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


def test_the_channels_that_are_read_with_the_largest_weights_stay() -> None:
    layers = [nn.Conv2d(3, 10, 3), nn.BatchNorm2d(10), nn.ReLU(), nn.Conv2d(10, 6, 3), Mean(), nn.Linear(6, 4)]
    model = randomize(nn.Sequential(*layers), seed=0)
    graph = build_graph(model, smooth_images(1))
    weights = {"0": layers[3].weight, "3": layers[5].weight}
    for unit, weight in weights.items():
        assert isinstance(weight, Tensor)
        sums = weight.detach().abs().transpose(0, 1).flatten(1).sum(1)
        for count in range(1, len(sums)):
            policy = keep(unit, count)
            kept = compress(model, graph, policy, magnitudes(model, graph)).kept[unit]
            assert kept == tuple(sorted(sums.topk(count).indices.tolist()))


def test_of_several_readers_none_decides_by_its_scale() -> None:
    left, right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Branches(left, right), Mean(), nn.Linear(8, 3))
    graph = build_graph(randomize(model, seed=0), smooth_images(1))
    with torch.no_grad():
        left.weight.copy_(torch.tensor([5.0, -3.0, 2.0, 1.0]).view(1, 4, 1, 1).expand(4, 4, 1, 1))
        right.weight.copy_(100 * torch.tensor([-1.0, 2.5, 2.0, -9.0]).view(1, 4, 1, 1).expand(4, 4, 1, 1))
    # shares of what each layer reads: 5/11 + 1/14.5, 3/11 + 2.5/14.5, 2/11 + 2/14.5, 1/11 + 9/14.5
    scores = magnitudes(model, graph)
    assert compress(model, graph, keep("0", 2), scores).kept == {"0": (0, 3)}
    assert compress(model, graph, keep("0", 1), scores).kept == {"0": (3,)}
    assert torch.allclose(
        scores["0"] / 4,
        torch.tensor([5 / 11, 3 / 11, 2 / 11, 1 / 11]) + torch.tensor([1 / 14.5, 2.5 / 14.5, 2 / 14.5, 9 / 14.5]),
    )


def test_all_pixels_of_a_flattened_channel_count() -> None:
    reader = nn.Linear(12, 2)
    model = randomize(nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), reader), seed=0)
    graph = build_graph(model, torch.ones(1, 1, 4, 4))
    with torch.no_grad():
        reader.weight.zero_()
        reader.weight[0, 0:4] = 1.0  # channel 0: 4 in all
        reader.weight[0, 4] = 3.0  # channel 1: 3
        reader.weight[1, 11] = -5.0  # channel 2: 5
    scores = magnitudes(model, graph)
    assert compress(model, graph, keep("0", 2), scores).kept == {"0": (0, 2)}
    assert compress(model, graph, keep("0", 1), scores).kept == {"0": (2,)}


def test_a_transposed_convolution_is_scored_by_its_inputs() -> None:
    reader = nn.ConvTranspose2d(8, 5, 2, 2)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), reader, Mean(), nn.Linear(5, 3))
    graph = build_graph(model, smooth_images(1))
    with torch.no_grad():
        for channel in range(8):
            reader.weight[channel] = channel * (-1) ** channel
    assert compress(model, graph, keep("0", 3), magnitudes(model, graph)).kept == {"0": (5, 6, 7)}


@settings(max_examples=20)
@given(networks(), st.data())
def test_kept_channels_are_nested_as_the_width_grows(example: Example, data: st.DataObject) -> None:
    graph = build_graph(*example)
    if not graph.prunable:
        return
    scores = magnitudes(example.model, graph)
    group = data.draw(st.sampled_from(graph.prunable))
    smaller: set[int] = set()
    for width in range(1, group.channels):
        kept = compress(example.model, graph, keep(group.name, width), scores).kept[group.name]
        assert list(kept) == sorted(set(kept))
        assert len(kept) == width
        assert smaller < set(kept) <= set(range(group.channels))
        smaller = set(kept)


def test_equal_scores_keep_the_first_channels(resnet: tuple[nn.Module, ModelGraph]) -> None:
    scores = {"layer1.0.conv1": torch.ones(8)}
    assert compress(*resnet, keep("layer1.0.conv1", 3), scores).kept == {"layer1.0.conv1": (0, 1, 2)}


def test_what_was_decided_is_returned(resnet: tuple[nn.Module, ModelGraph]) -> None:
    model, graph = resnet
    policy = Policy({**everything(graph), **keep("layer1.0.conv1", 3), "layer1.0": Choice(keep=False)})
    compressed = compress(model, graph, policy, magnitudes(model, graph))
    assert isinstance(compressed, Compressed)
    assert compressed.dropped == ("layer1.0",)
    assert not compressed.model.training


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (keep("layer9", 4), "prunes 'layer9', which is no prunable group"),
        (keep("linear", 4), "prunes 'linear', which is no prunable group"),
        (keep("layer1.0.conv1", 9), "keeps 9 of 8 channels of 'layer1.0.conv1'"),
        (Policy({"layer2.0": Choice(keep=False)}), "drops 'layer2.0', which is no droppable block"),
        (Policy({"layer1.0.conv1": Choice(keep=False)}), "drops 'layer1.0.conv1', which is no droppable block"),
    ],
)
def test_what_the_network_does_not_have_is_refused(
    resnet: tuple[nn.Module, ModelGraph], policy: Policy, message: str
) -> None:
    model, graph = resnet
    with pytest.raises(ConfigError, match=message) as caught:
        compress(model, graph, policy, magnitudes(model, graph))
    assert "\n" not in str(caught.value)


def test_the_original_is_never_changed() -> None:
    model = CifarResNet(2, widths=(6, 8, 10), option="B").train()
    model.bn1.eval()
    model.conv1.weight.requires_grad_(False)
    before = state_of(model)
    graph = build_graph(model, smooth_images(1))
    scores = magnitudes(model, graph)
    recovery = LeastSquares(model, graph, smooth_images(16))
    policy = Policy({**halved(graph), "layer1.1": Choice(keep=False)})
    compressed = compress(model, graph, policy, scores)
    recovery.refit(compressed)
    assert compressed.kept
    assert state_of(model) == before
    assert state_of(compressed.model)["hooks"] == {name: () for name, _ in compressed.model.named_modules()}


@pytest.mark.parametrize(
    ("unit", "choice", "message"),
    [
        ("layer1.0.conv1", Choice(weight_bits=4, activation_bits=8), "gives 'layer1.0.conv1' 4 and 8 bits"),
        ("layer1.0", Choice(weight_bits=8, activation_bits=8), "int8 in 'layer1.0', which is no layer"),
    ],
)
def test_bits_that_no_layer_can_have_are_refused(unit: str, choice: Choice, message: str) -> None:
    model, graph = CifarResNet(1).eval(), build_graph(CifarResNet(1), torch.randn(1, 3, 16, 16))
    with pytest.raises(ConfigError, match=message):
        compress(model, graph, Policy({unit: choice}), magnitudes(model, graph))
