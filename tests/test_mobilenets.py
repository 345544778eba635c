"""The MobileNets are those of the papers, and what can be cut of them is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from automc.compression import compress, magnitudes
from automc.graph import build_graph
from automc.models import MobileNetV1, MobileNetV2, load_weights
from tests.networks import halved, randomize


def figures(model: nn.Module, size: int) -> tuple[int, float]:
    """Parameters, and multiply-accumulate operations for one image."""
    model.eval()
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        model.to("meta")(torch.empty(1, 3, size, size))
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() / 2


@pytest.mark.parametrize(
    ("model", "params", "macs"),
    [
        (MobileNetV1(), 4_231_976, 568_740_352),
        (MobileNetV1(0.5), 1_331_592, 149_497_088),
        (MobileNetV2(), 3_504_872, 300_774_272),  # of these three, torchvision has as many parameters
        (MobileNetV2(0.35), 1_677_128, 59_285_808),
        (MobileNetV2(1.4), 6_108_776, 582_195_824),
    ],
)
def test_for_imagenet_they_cost_what_is_published(model: nn.Module, params: int, macs: float) -> None:
    assert figures(model, 224) == (params, macs)


@pytest.mark.parametrize("network", [MobileNetV1, MobileNetV2])
@pytest.mark.parametrize(("stride", "size"), [(32, 64), (16, 32), (8, 32), (1, 4)])
def test_the_stride_is_by_how_much_images_get_smaller(
    network: type[MobileNetV1] | type[MobileNetV2], stride: int, size: int
) -> None:
    model = network(0.25, classes=10, stride=stride).eval()
    images = torch.zeros(1, 3, size, size)
    stem = model.conv1(images) if isinstance(model, MobileNetV1) else images
    assert model.features(stem).shape[2:] == (size // stride, size // stride)
    assert model(images).shape == (1, 10)


def test_an_impossible_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="stride must be 1, 2, 4, 8, 16 or 32, not 64"):
        MobileNetV1(stride=64)


def torchvision_names() -> list[str]:
    """The parameters of torchvision's ``mobilenet_v2``, by its definition."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = []

    def add(prefix: str, convolution: str, batch_norm: str) -> None:
        names.extend([f"{prefix}.{convolution}.weight", *(f"{prefix}.{batch_norm}.{name}" for name in norm)])

    add("features.0", "0", "1")
    for block in range(1, 18):
        last = 1 if block == 1 else 2  # only the first block does not widen
        for inner in range(last):
            add(f"features.{block}.conv.{inner}", "0", "1")
        add(f"features.{block}.conv", str(last), str(last + 1))
    add("features.18", "0", "1")
    return [*names, "classifier.1.weight", "classifier.1.bias"]


def test_files_with_the_names_of_torchvision_load(tmp_path: Path) -> None:
    model = randomize(MobileNetV2(0.35, classes=7), 0)
    assert list(model.state_dict()) == torchvision_names()
    torch.save(model.state_dict(), tmp_path / "mobilenet_v2.pth")
    other = MobileNetV2(0.35, classes=7).eval()
    load_weights(other, tmp_path / "mobilenet_v2.pth", "mobilenet_v2")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(other(images), model(images))


@pytest.mark.parametrize(("model", "prunable", "blocks"), [(MobileNetV1(0.25), 14, 0), (MobileNetV2(0.35), 25, 10)])
def test_all_channels_and_blocks_can_be_chosen(model: nn.Module, prunable: int, blocks: int) -> None:
    randomize(model, 0)
    images = torch.randn(1, 3, 64, 64)
    graph = build_graph(model, images)
    assert [group.name for group in graph.groups if group.frozen] == [graph.groups[0].name]  # the logits
    assert (len(graph.prunable), len(graph.blocks)) == (prunable, blocks)
    smaller = compress(model, graph, halved(graph), magnitudes(model, graph)).model
    assert smaller(images).shape == (1, 1000)
    assert sum(p.numel() for p in smaller.parameters()) < 0.5 * sum(p.numel() for p in model.parameters())
