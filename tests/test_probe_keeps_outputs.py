from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automc.compression import rebuild
from automc.errors import TraceError
from automc.graph import Group, ModelGraph, build_graph
from automc.models import CifarResNet
from tests.networks import Branches, Example, Mean, Residual, networks, randomize, state_of

Removed = Mapping[str, Sequence[int]]


@torch.no_grad()
def without(example: Example, graph: ModelGraph, removed: Removed) -> Tensor:
    """What the network says once these channels are removed."""
    kept = {g.name: sorted(set(range(g.channels)) - set(removed[g.name])) for g in graph.groups if g.name in removed}
    smaller = rebuild(example.model, graph.groups, kept, ())
    outputs: Tensor = smaller(example.inputs)
    return outputs


@torch.no_grad()
def silenced(example: Example, graph: ModelGraph, removed: Removed) -> Tensor:
    """What the full network says while these channels are zero wherever they are made."""

    def silence(positions: list[int]) -> Callable[..., Tensor]:
        return lambda module, args, output: output.index_fill(1, torch.tensor(positions), 0)

    handles = [
        example.model.get_submodule(member.module).register_forward_hook(silence(member.of(removed[group.name])))
        for group in graph.groups
        for member in group.members
        if group.name in removed and member.role == "out"
    ]
    outputs: Tensor = example.model(example.inputs)
    for handle in handles:
        handle.remove()
    return outputs


def difference(example: Example, graph: ModelGraph, removed: Removed) -> float:
    expected = silenced(example, graph, removed)
    return float((without(example, graph, removed) - expected).abs().max() / expected.abs().max().clamp(min=1))


def some_channels(rng: random.Random, groups: Sequence[Group]) -> dict[str, list[int]]:
    return {group.name: rng.sample(range(group.channels), rng.randint(1, group.channels - 1)) for group in groups}


def frozen(graph: ModelGraph) -> dict[str, str]:
    return {group.name: group.frozen for group in graph.groups if group.frozen}


@settings(max_examples=80)
@given(networks(), st.integers(0, 2**16))
def test_removing_any_channels_of_one_group_is_zeroing_them(example: Example, seed: int) -> None:
    graph = build_graph(example.model, example.inputs)
    for name, channels in some_channels(random.Random(seed), graph.prunable).items():
        assert difference(example, graph, {name: channels}) <= 1e-5, name


@settings(max_examples=80)
@given(networks(), st.integers(0, 2**16))
def test_removing_channels_of_all_groups_at_once_is_zeroing_them(example: Example, seed: int) -> None:
    graph = build_graph(example.model, example.inputs)
    assert difference(example, graph, some_channels(random.Random(seed), graph.prunable)) <= 1e-5


def test_on_padded_shortcuts_the_stem_is_frozen_and_the_inner_groups_are_not() -> None:
    model = randomize(CifarResNet(3, option="A"), seed=0)
    example = Example(model, torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    graph = build_graph(*example)
    inner = {f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in range(3)}
    assert {group.name for group in graph.prunable} == inner
    stem = next(group for group in graph.groups if any(member.module == "conv1" for member in group.members))
    assert stem.frozen
    assert difference(example, graph, some_channels(random.Random(0), graph.prunable)) <= 1e-5


def test_the_group_of_the_output_layer_is_frozen() -> None:
    model = randomize(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), Mean(), nn.Linear(4, 3)), seed=0)
    assert frozen(build_graph(model, torch.ones(1, 2, 6, 6))) == {"3": "its channels are the network's output"}


def test_a_layer_with_one_channel_is_frozen() -> None:
    model = randomize(nn.Sequential(nn.Conv2d(2, 1, 3), nn.Conv2d(1, 4, 3), Mean(), nn.Linear(4, 3)), seed=0)
    assert "one channel" in frozen(build_graph(model, torch.ones(1, 2, 6, 6)))["0"]


def test_groups_of_a_convolution_go_whole_together_with_what_feeds_them() -> None:
    for width, groups in ((4, 2), (6, 3), (8, 4)):
        layers = [nn.Conv2d(2, width, 3), nn.Conv2d(width, 2 * width, 3, groups=groups), nn.Conv2d(2 * width, 4, 1)]
        model = randomize(nn.Sequential(*layers, Mean(), nn.Linear(4, 3)), seed=0)
        graph = build_graph(model, torch.ones(1, 2, 8, 8))
        assert [(group.name, group.channels, group.unit) for group in graph.prunable] == [
            ("2", 4, "channels"),
            ("0", groups, "groups"),
        ]
        smaller = rebuild(model, graph.groups, {"0": [0]}, ())
        assert smaller.get_submodule("1").groups == 1
        assert smaller.get_submodule("0").out_channels == width // groups


@pytest.mark.parametrize("left", [1, 2, 3])
def test_channels_that_are_not_alike_are_frozen(left: int) -> None:
    # the sum ties channels of two branches together: how wide each is would depend on which channels go
    branches = Branches(nn.Conv2d(2, left, 3, padding=1), nn.Conv2d(2, 1, 3, padding=1))
    residual = Residual(nn.Conv2d(left + 1, left + 1, 3, padding=1), nn.Identity(), nn.ReLU())
    model = randomize(nn.Sequential(branches, residual, Mean(), nn.Linear(left + 1, 3)), seed=0)
    graph = build_graph(model, torch.ones(1, 2, 6, 6))
    assert not graph.prunable
    assert any("only some of its channels" in reason for reason in frozen(graph).values())


class Shuffled(nn.Module):
    """Interleaves two halves of its channels, which torch-pruning does not see."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def test_a_coupling_with_wrong_indices_is_frozen() -> None:
    layers = [nn.Conv2d(2, 8, 3), nn.ReLU(), Shuffled(), nn.Conv2d(8, 6, 3), Mean(), nn.Linear(6, 3)]
    graph = build_graph(randomize(nn.Sequential(*layers), seed=0), torch.ones(1, 2, 8, 8))
    assert [group.name for group in graph.prunable] == ["3"]
    assert "not the same as zeroing" in frozen(graph)["0"]


@pytest.mark.parametrize("right", range(2, 9))
def test_a_flattened_concatenation_is_frozen_or_right(right: int) -> None:
    branches = Branches(nn.Conv2d(1, 2, 1), nn.Conv2d(1, right, 1))  # torch-pruning gets some of these wrong
    model = randomize(nn.Sequential(branches, nn.Flatten(), nn.Linear((2 + right) * 25, 3)), seed=0)
    example = Example(model, torch.ones(1, 1, 5, 5))
    graph = build_graph(*example)
    assert len(graph.groups) >= 2
    for group in graph.prunable:
        for channel in range(group.channels):
            assert difference(example, graph, {group.name: [channel]}) <= 1e-5


def test_a_wrong_coupling_is_found_even_where_no_output_shows_it() -> None:
    silent = nn.Linear(6, 4)
    layers = [nn.Conv2d(2, 8, 3), nn.ReLU(), Shuffled(), nn.Conv2d(8, 6, 3), Mean(), silent, nn.ReLU()]
    model = randomize(nn.Sequential(*layers, nn.Linear(4, 3)), seed=0)
    with torch.no_grad():
        silent.bias.fill_(-100)  # the ReLU after it is dead: whatever happens before, the outputs stay
    graph = build_graph(model, torch.ones(1, 2, 8, 8))
    assert [group.name for group in graph.prunable] == ["5", "3"]
    assert "not the same as zeroing" in frozen(graph)["0"]


def test_nothing_is_believed_of_a_network_that_says_nan() -> None:
    model = randomize(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), Mean(), nn.Linear(4, 3)), seed=0)
    assert not build_graph(model, torch.full((1, 2, 6, 6), torch.nan)).prunable


def test_groups_that_the_time_limit_leaves_out_are_frozen() -> None:
    model = randomize(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3), Mean(), nn.Linear(4, 3)), seed=0)
    graph = build_graph(model, torch.ones(1, 2, 6, 6), limit_s=0)
    assert not graph.prunable
    assert len(graph.groups) == 3
    assert all("the limit of 0 s was used up" in reason for reason in frozen(graph).values())


def test_building_a_graph_leaves_the_model_untouched() -> None:
    model = CifarResNet(1, widths=(4, 6, 8), option="B").train()
    model.bn1.eval()  # as in fine-tuning with a frozen stem
    model.conv1.weight.requires_grad_(False)
    values = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = state_of(model)
    build_graph(model, torch.ones(1, 3, 16, 16))
    assert state_of(model) == before
    assert all(torch.equal(tensor, values[name]) for name, tensor in model.state_dict().items())


def test_a_model_that_does_not_run_is_refused_in_one_line_and_left_untouched() -> None:
    model = CifarResNet(1, widths=(4, 6, 8)).train()
    before = state_of(model)
    with pytest.raises(TraceError, match="does not run on its task's inputs") as caught:
        build_graph(model, torch.ones(1, 5, 16, 16))
    assert "\n" not in str(caught.value)
    assert state_of(model) == before


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no\nmore")


def test_a_model_that_fails_with_a_long_story_is_refused_in_one_line() -> None:
    with pytest.raises(TraceError, match="ValueError: no") as caught:
        build_graph(Failing(), torch.ones(1, 2))
    assert "\n" not in str(caught.value)
