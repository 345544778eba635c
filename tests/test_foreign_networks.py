"""Networks of the transformers package: what can be removed of them, and what is left then."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
import torch
import transformers
from torch.utils import _pytree as pytree

from automc.compression import compress, magnitudes, rebuild
from automc.costs import CostModel
from automc.graph import ModelGraph, build_graph
from automc.graph.blocks import blocks_named
from automc.graph.masks import zero_channels
from automc.graph.probe import largest_difference
from automc.graph.units import find_groups
from automc.search_spaces import Choice, Policy, SpaceConfig, build_space
from automc.tasks import call
from tests.counting import counted, weighed
from tests.foreign import FOREIGN, Foreign, foreign

HEADS = {"ViT": 3, "BERT": 3, "Llama": 2}
ALL = (*FOREIGN, "Llama")


@functools.cache
def read(name: str) -> tuple[Foreign, ModelGraph]:
    example = llama() if name == "Llama" else foreign(name)
    return example, build_graph(*example)


def llama() -> Foreign:
    """Rotary positions, RMS norms, a gate, and four heads of queries for two of keys and values."""
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        use_cache=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlamaModel(config).eval()
        for parameter in model.parameters():
            parameter.data = parameter.data * (4 if parameter.ndim > 1 else 1) + 0.1 * torch.randn(parameter.shape)
    return Foreign(model, {"input_ids": torch.randint(1, 50, (1, 8), generator=torch.Generator().manual_seed(1))})


@pytest.mark.parametrize("name", FOREIGN)
def test_all_that_a_network_does_not_put_out_can_be_pruned(name: str) -> None:
    _, graph = read(name)
    assert [group.frozen for group in graph.groups if group.frozen] == ["its channels are the network's output"]
    assert max(len(group.members) for group in graph.prunable) >= 4


@pytest.mark.parametrize("name", HEADS)
def test_attention_goes_by_whole_heads(name: str) -> None:
    _, graph = read(name)
    heads = [group for group in graph.prunable if group.unit == "heads"]
    assert len(heads) == HEADS[name]
    for group in heads:
        assert group.channels == (2 if name == "Llama" else 4)
        assert len([member for member in group.members if member.role == "out"]) == 3
        assert f"{group.channels} heads" in str(group)


def test_a_space_offers_every_number_of_heads() -> None:
    _, graph = read("ViT")
    space = build_space(graph, SpaceConfig(min_keep=0.01), 8)
    options = {axis.unit: axis.options for axis in space.axes if axis.field == "channels"}
    assert options["vit.layers.0.attention.v_proj"] == (1, 2, 3, 4)
    assert options["vit.layers.0.mlp.fc1"] == tuple(range(8, 129, 8))


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_removing_any_of_them_is_masking_them(name: str) -> None:
    example, graph = read(name)
    rng = random.Random(0)
    for group in graph.prunable:
        removed = rng.sample(range(group.channels), rng.randint(1, group.channels - 1))
        kept = [channel for channel in range(group.channels) if channel not in removed]
        smaller = rebuild(example.model, graph.groups, {group.name: kept}, ())
        masked = rebuild(example.model, graph.groups, {}, ())
        zero_channels(masked, group, removed)
        one, other = (call(model, example.inputs)[0] for model in (smaller, masked))
        if name == "Llama" and one.shape != other.shape:  # the stream itself is what it puts out
            other = other[..., [p for p in range(32) if p not in removed]]
        assert largest_difference(one, other) <= 1e-5, group.name


@pytest.mark.parametrize("name", FOREIGN)
def test_cost_is_what_the_built_network_costs(name: str) -> None:
    example, graph = read(name)
    space = build_space(graph, SpaceConfig(min_keep=0.01), 1)
    costs, scores = CostModel(graph, space), magnitudes(example.model, graph)
    for index in [space.full, *space.sample(np.random.default_rng(0), 4)]:
        policy = space.decode(index)
        built = compress(example.model, graph, policy, scores).model
        assert weighed(costs, policy) == counted(built, example.inputs)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("ViT", [f"vit.layers.{i}" for i in range(3)]),
        ("BERT", [f"bert.encoder.layer.{i}" for i in range(3)]),
        ("Llama", [f"layers.{i}" for i in range(2)]),
    ],
)
@torch.no_grad()
def test_layers_of_a_transformer_are_blocks(name: str, blocks: list[str]) -> None:
    example, graph = read(name)
    assert [block.name for block in graph.blocks] == blocks
    without = compress(example.model, graph, Policy({name: Choice(keep=False) for name in blocks}), {}).model
    none = call(without, example.inputs)[0]
    assert none.shape == call(example.model, example.inputs)[0].shape
    assert bool(none.isfinite().all())


@pytest.mark.parametrize("name", ["ViT", "BERT"])
@torch.no_grad()
def test_a_pruned_transformer_without_a_layer_is_exported(name: str) -> None:
    example, graph = read(name)
    units = {group.name: Choice(channels=group.channels // 2) for group in graph.prunable}
    policy = Policy({**units, graph.blocks[1].name: Choice(keep=False)})
    built = compress(example.model, graph, policy, magnitudes(example.model, graph)).model
    args, kwargs = ((), example.inputs) if isinstance(example.inputs, dict) else ((example.inputs,), {})
    exported = torch.export.export(built, args, kwargs).module()
    assert largest_difference(exported(*args, **kwargs)[0], built(*args, **kwargs)[0]) <= 1e-5


@pytest.mark.parametrize("name", FOREIGN)
def test_groups_found_again_rebuild_the_same_network(name: str) -> None:
    example, graph = read(name)
    kept = {group.name: list(range(0, group.channels, 2)) for group in graph.prunable}
    again = find_groups(example.model, example.inputs)
    one, other = (rebuild(example.model, groups, kept, ()).state_dict() for groups in (graph.groups, again))
    assert pytree.tree_map(torch.equal, one, other) == dict.fromkeys(one, True)
    names = [block.name for block in graph.blocks]
    assert blocks_named(example.model, example.inputs, names) == list(graph.blocks)
