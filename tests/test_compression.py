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
from tests.networks import (
    Branches,
    Example,
    Mean,
    everything,
    halved,
    keep,
    networks,
    randomize,
    smooth_images,
    state_of,
)


@pytest.fixture(scope="module")
def resnet() -> tuple[nn.Module, ModelGraph]:
    model = randomize(CifarResNet(1, widths=(8, 12, 16), option="B"), seed=0)
    return model, build_graph(model, torch.ones(1, 3, 16, 16))


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
        ("layer1.0.conv1", Choice(weight_bits=1, activation_bits=8), "gives 'layer1.0.conv1' 1 and 8 bits"),
        ("layer1.0", Choice(weight_bits=8, activation_bits=8), "int8 in 'layer1.0', which is no layer"),
    ],
)
def test_bits_that_no_layer_can_have_are_refused(unit: str, choice: Choice, message: str) -> None:
    model, graph = CifarResNet(1).eval(), build_graph(CifarResNet(1), torch.randn(1, 3, 16, 16))
    with pytest.raises(ConfigError, match=message):
        compress(model, graph, Policy({unit: choice}), magnitudes(model, graph))
