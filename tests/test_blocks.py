from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from automc.compression import compress
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.search_spaces import Choice, Policy
from tests.networks import Branches, Mean, Residual, randomize

BLOCKS = ["layer1.0", "layer1.1", "layer2.1", "layer3.1"]


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return randomize(CifarResNet(2, widths=(6, 8, 12), option="B"), seed=0)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def names(model: nn.Module, inputs: Tensor | dict[str, Tensor]) -> list[str]:
    return [block.name for block in build_graph(model, inputs).blocks]


def test_blocks_of_a_residual_network_are_those_that_keep_their_shape(resnet: nn.Module, images: Tensor) -> None:
    assert names(resnet, images) == BLOCKS


def test_a_plain_network_has_no_blocks() -> None:
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
    for _ in range(3):  # same shape in and out, and yet nothing passes through
        layers += [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())]
    model = randomize(nn.Sequential(*layers, nn.MaxPool2d(2), Mean(), nn.Linear(8, 10)), seed=0)
    assert names(model, torch.ones(1, 3, 8, 8)) == []


def test_what_changes_its_input_without_weights_is_no_block() -> None:
    body = nn.Conv2d(4, 4, 3, padding=1)
    scaled = Residual(body, nn.Hardswish(), nn.Identity())
    model = randomize(nn.Sequential(nn.Conv2d(3, 4, 3), scaled, Mean(), nn.Linear(4, 3)), seed=0)
    assert names(model, torch.ones(1, 3, 8, 8)) == []


def test_a_concatenation_is_no_block() -> None:
    branches = Branches(nn.Identity(), nn.Conv2d(3, 3, 1))
    model = randomize(nn.Sequential(branches, nn.ReLU(), Mean(), nn.Linear(6, 3)), seed=0)
    assert names(model, torch.ones(1, 3, 8, 8)) == []


def test_a_layer_that_sees_zeros_only_is_no_block() -> None:
    silent = nn.Linear(4, 3)
    model = randomize(nn.Sequential(nn.Conv2d(3, 4, 3), Mean(), silent, nn.ReLU(), nn.Linear(3, 3)), seed=0)
    with torch.no_grad():
        silent.bias.fill_(-100)
    assert names(model, torch.ones(1, 3, 8, 8)) == []


def test_what_passes_only_some_of_its_input_is_no_block() -> None:
    signed = Residual(nn.Conv2d(4, 4, 3, padding=1), nn.Identity(), nn.ReLU())
    model = randomize(nn.Sequential(nn.Conv2d(3, 4, 3), signed, Mean(), nn.Linear(4, 3)), seed=0)
    assert names(model, torch.ones(1, 3, 8, 8)) == []


def test_of_nested_blocks_the_innermost_are_found() -> None:
    inner = [Residual(nn.Conv2d(4, 4, 3, padding=1), nn.Identity(), nn.Identity()) for _ in range(2)]
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(*inner), Mean(), nn.Linear(4, 3))
    assert names(randomize(model, seed=0), torch.ones(1, 3, 8, 8)) == ["1.0", "1.1"]


def test_a_block_that_runs_twice_is_left_alone() -> None:
    block = Residual(nn.Conv2d(4, 4, 3, padding=1), nn.Identity(), nn.Identity())
    model = nn.Sequential(nn.Conv2d(3, 4, 3), block, nn.ReLU(), block, Mean(), nn.Linear(4, 3))
    assert names(randomize(model, seed=0), torch.ones(1, 3, 8, 8)) == []


@pytest.mark.parametrize("name", BLOCKS)
@torch.no_grad()
def test_dropping_a_block_lets_its_input_pass(resnet: nn.Module, images: Tensor, name: str) -> None:
    graph = build_graph(resnet, images)
    smaller = compress(resnet, graph, Policy({name: Choice(keep=False)}), {}).model
    handle = resnet.get_submodule(name).register_forward_hook(lambda module, args, output: args[0])
    expected = resnet(images)
    handle.remove()
    assert torch.equal(smaller(images), expected)
    assert not any(key.startswith(name + ".") for key in smaller.state_dict())
    shapes = {key: tensor.shape for key, tensor in resnet.state_dict().items() if not key.startswith(name + ".")}
    assert {key: tensor.shape for key, tensor in smaller.state_dict().items()} == shapes


@torch.no_grad()
def test_dropping_a_block_lets_negative_values_pass() -> None:
    block = Residual(nn.Conv2d(4, 4, 3, padding=1), nn.Identity(), nn.Identity())
    stem = nn.Conv2d(3, 4, 3)
    model = randomize(nn.Sequential(stem, block), seed=0)
    images = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smaller = compress(model, build_graph(model, images), Policy({"1": Choice(keep=False)}), {}).model
    assert torch.equal(smaller(images), stem(images))


@torch.no_grad()
def test_all_blocks_can_be_dropped_together(resnet: nn.Module, images: Tensor) -> None:
    graph = build_graph(resnet, images)
    smaller = compress(resnet, graph, Policy({name: Choice(keep=False) for name in BLOCKS}), {}).model
    assert smaller(images).shape == resnet(images).shape


class TwoInputs(nn.Module):
    """Takes tensors by keyword, as a network of text and images would."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.block = Residual(nn.Conv2d(6, 6, 3, padding=1), nn.Identity(), nn.Identity())
        self.linear = nn.Linear(6 + 2, 3)

    def forward(self, *, image: Tensor, extra: Tensor) -> Tensor:
        y = self.block(self.stem(image).relu())
        return self.linear(torch.cat([y.mean((2, 3)), extra], 1))


@torch.no_grad()
def test_a_network_that_takes_keyword_tensors_works() -> None:
    model = randomize(TwoInputs(), seed=0)
    generator = torch.Generator().manual_seed(0)
    inputs = {"extra": torch.randn(2, 2, generator=generator), "image": torch.randn(2, 3, 8, 8, generator=generator)}
    graph = build_graph(model, inputs)
    assert [block.name for block in graph.blocks] == ["block"]
    assert graph.batch == 2
    assert {weight.name for weight in graph.weights} == set(model.state_dict())
    smaller = compress(model, graph, Policy({"block": Choice(keep=False)}), {}).model
    assert smaller(**inputs).shape == model(**inputs).shape
