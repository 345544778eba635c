"""Groups that go in runs, or through norms and bare tensors, in small networks as people write them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automc.compression import compress, magnitudes, rebuild
from automc.costs import CostModel
from automc.graph import ModelGraph, build_graph
from automc.search_spaces import Choice, Policy, SpaceConfig, build_space
from tests.counting import counted, weighed
from tests.networks import Example, Mean, Residual, randomize
from tests.transformers_by_hand import Scaled, transformer


@functools.cache
def read(attention: str, norm: Any = nn.LayerNorm, post: bool = False) -> tuple[Example, ModelGraph]:
    example = transformer(attention, norm=norm, post=post)
    return example, build_graph(*example)


def frozen(graph: ModelGraph) -> dict[str, str]:
    return {group.name: group.frozen for group in graph.groups if group.frozen}


KINDS = [
    ("fused", nn.LayerNorm, False),
    ("fused", nn.LayerNorm, True),
    ("fused", nn.RMSNorm, False),
    ("fused", Scaled, True),
    ("chunked", nn.LayerNorm, False),
    ("wide", nn.LayerNorm, False),
    ("grouped", nn.LayerNorm, False),
]


@pytest.mark.parametrize(("attention", "norm", "post"), KINDS)
@torch.no_grad()
def test_heads_feed_forward_and_residual_stream_are_pruned(attention: str, norm: Any, post: bool) -> None:
    example, graph = read(attention, norm, post)
    assert frozen(graph) == {"classify": "its channels are the network's output"}
    assert sorted(group.unit for group in graph.prunable) == ["channels"] * 3 + ["heads"] * 2
    stream = max(graph.prunable, key=lambda group: len(group.members))
    assert {"token", "positions", "patches"} <= {member.name for member in stream.members}
    kept = {group.name: list(range(group.channels // 2)) for group in graph.prunable}
    smaller = rebuild(example.model, graph.groups, kept, ())
    assert smaller.get_buffer("positions").shape[-1] == smaller.get_parameter("token").shape[-1] == 16
    assert smaller(example.inputs).shape == (2, 5)


@pytest.mark.parametrize(("attention", "norm", "post"), KINDS)
@torch.no_grad()
def test_one_head_less_is_a_head_of_zeros(attention: str, norm: Any, post: bool) -> None:
    example, graph = read(attention, norm, post)
    group = next(group for group in graph.prunable if group.unit == "heads" and group.name.startswith("layers.1"))
    (reader,) = (member for member in group.members if member.role == "in")
    for head in range(group.channels):
        smaller = rebuild(
            example.model, graph.groups, {group.name: [h for h in range(group.channels) if h != head]}, ()
        )
        zeroed = rebuild(example.model, graph.groups, {}, ())
        zeroed.get_parameter(f"{reader.module}.weight")[:, reader.of([head])] = 0
        torch.testing.assert_close(smaller(example.inputs), zeroed(example.inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("attention", "norm", "post"), KINDS)
@torch.no_grad()
def test_layers_that_return_tuples_are_blocks(attention: str, norm: Any, post: bool) -> None:
    example, graph = read(attention, norm, post)
    assert [block.name for block in graph.blocks] == ["layers.0", "layers.1"]
    smaller = compress(example.model, graph, Policy({"layers.0": Choice(keep=False)}), {}).model
    handle = example.model.get_submodule("layers.0").register_forward_hook(lambda _, args, output: (args[0], None))
    expected = example.model(example.inputs)
    handle.remove()
    assert torch.equal(smaller(example.inputs), expected)


@pytest.mark.parametrize(("attention", "norm", "post"), KINDS)
def test_cost_is_what_the_built_network_costs(attention: str, norm: Any, post: bool) -> None:
    example, graph = read(attention, norm, post)
    space = build_space(graph, SpaceConfig(min_keep=0.01), 1)
    costs, scores = CostModel(graph, space), magnitudes(example.model, graph)
    for index in space.sample(np.random.default_rng(0), 4):
        built = compress(example.model, graph, space.decode(index), scores).model
        assert weighed(costs, space.decode(index)) == counted(built, example.inputs)


@torch.no_grad()
def test_heads_of_queries_go_where_all_share_one_of_values() -> None:
    _, graph = read("shared")
    heads = [group for group in graph.prunable if group.unit == "heads"]
    assert [(group.name, group.channels) for group in heads] == [
        ("layers.0.attention.q", 4),
        ("layers.1.attention.q", 4),
    ]
    assert set(frozen(graph)) == {"classify", "layers.0.attention.v", "layers.1.attention.v"}


def test_attention_as_wide_as_its_input_is_frozen_and_says_where() -> None:
    _, graph = read("from input")
    assert (
        "the attention of layers.0.attention does not run with fewer heads" in frozen(graph)["layers.0.attention.qkv"]
    )
    assert "in module 'layers.0" in frozen(graph)["layers.1.down"]


def test_a_transformer_of_torch_says_what_stays_and_why() -> None:
    torch.manual_seed(0)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.TransformerEncoderLayer(16, 4, 32, batch_first=True) for _ in range(2)]
            self.embed, self.layers, self.classify = nn.Linear(8, 16), nn.ModuleList(layers), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            for layer in self.layers:
                x = layer(x)
            return self.classify(x.mean(1))

    graph = build_graph(Encoder().eval(), torch.randn(2, 5, 8))
    assert {group.name for group in graph.prunable} == {"layers.0.linear1", "layers.1.linear1"}
    reasons = set(frozen(graph).values()) - {"its channels are the network's output"}
    assert all("nn.MultiheadAttention" in reason and "self_attn" in reason for reason in reasons)
    assert len(reasons) == 1
    assert [block.name for block in graph.blocks] == ["layers.0", "layers.1"]


@pytest.mark.parametrize(("groups", "unit", "channels"), [(1, "channels", 8), (8, "channels", 8), (4, "groups", 4)])
@torch.no_grad()
def test_channels_go_through_group_norms(groups: int, unit: str, channels: int) -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.GroupNorm(groups, 8), nn.ReLU(), nn.Conv2d(8, 4, 1), Mean(), nn.Linear(4, 3)]
    model = randomize(nn.Sequential(*layers), seed=0)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    graph = build_graph(model, images)
    group = next(group for group in graph.prunable if group.name == "0")
    assert (group.unit, group.channels, group.size) == (unit, channels, 8 // channels)
    smaller = rebuild(model, graph.groups, {"0": range(1, channels)}, ())
    norm = smaller.get_submodule("1")
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == max(1, groups * (channels - 1) // channels)
    stem, pruned = model.get_submodule("0"), smaller.get_submodule("0")
    rest = stem(images)[:, group.size :]
    expected = nn.functional.group_norm(rest, norm.num_groups, norm.weight, norm.bias)
    assert torch.allclose(norm(pruned(images)), expected, atol=1e-5)


class Rolled(nn.Module):
    """Scales every channel by its neighbour's gain: its channels are not alike."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain.roll(1)


def test_what_only_looks_like_a_norm_is_frozen() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), Rolled(), nn.Linear(8, 2)).eval()
    assert "class Rolled does not treat its channels alike" in frozen(build_graph(model, torch.randn(4, 3)))["0"]


@torch.no_grad()
def test_a_grouped_bottleneck_loses_whole_groups() -> None:
    def body() -> nn.Module:
        wide, grouped = nn.Conv2d(8, 12, 1, bias=False), nn.Conv2d(12, 24, 3, padding=1, groups=4, bias=False)
        norms = nn.BatchNorm2d(12), nn.BatchNorm2d(24)
        return nn.Sequential(wide, norms[0], nn.ReLU(), grouped, norms[1], nn.ReLU(), nn.Conv2d(24, 8, 1))

    model = nn.Sequential(nn.Conv2d(3, 8, 3), Residual(body(), nn.Identity(), nn.Identity()), Mean(), nn.Linear(8, 3))
    example = Example(randomize(model, seed=0), torch.randn(2, 3, 8, 8))
    graph = build_graph(*example)
    group = next(group for group in graph.prunable if group.unit == "groups")
    assert (group.name, group.channels, group.size) == ("1.body.0", 4, 3)
    assert [block.name for block in graph.blocks] == ["1"]
    smaller = rebuild(model, graph.groups, {group.name: [1, 3]}, ())
    x = torch.randn(2, 8, 6, 6)
    masked = model.get_submodule("1.body.3")(model.get_submodule("1.body.0")(x))[:, [*range(6, 12), *range(18, 24)]]
    bare = smaller.get_submodule("1.body.3")(smaller.get_submodule("1.body.0")(x))
    assert torch.allclose(bare, masked, atol=1e-5)


def test_a_grouped_convolution_of_the_input_is_frozen() -> None:
    layers = [nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 4, 1), Mean(), nn.Linear(4, 3)]
    graph = build_graph(randomize(nn.Sequential(*layers), seed=0), torch.ones(1, 4, 8, 8))
    assert "0" in frozen(graph)
    assert [group.name for group in graph.prunable] == ["1"]
