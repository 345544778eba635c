from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from automc.compression import Methods, compress, magnitudes, quantize
from automc.costs import CostModel
from automc.errors import ConfigError
from automc.models import CifarResNet
from automc.search_spaces import Choice, Policy, SearchSpace, SpaceConfig
from tests.counting import counted, weighed
from tests.networks import Example, Mean, networks, priced, randomize

seeds = st.integers(0, 2**16)


def built_from(example: Example, model: CostModel, policy: Policy) -> nn.Module:
    """The network of a policy, quantizers included."""
    compressed = compress(example.model, model.graph, policy, magnitudes(example.model, model.graph))
    if not compressed.bits:
        return compressed.model
    return quantize(compressed.model, example.inputs, compressed.bits, Methods(rounding="nearest"))


def sampled(space: SearchSpace, seed: int, n: int = 1) -> np.ndarray:
    return space.sample(np.random.default_rng(seed), n)


@settings(max_examples=60)
@given(networks(), seeds)
def test_cost_is_what_the_built_network_costs(example: Example, seed: int) -> None:
    model = priced(example)
    for policy in [model.space.decode(index) for index in sampled(model.space, seed, 3)]:
        assert weighed(model, policy) == counted(built_from(example, model, policy), example.inputs)


@settings(max_examples=40)
@given(networks(), seeds, st.sets(st.sampled_from([2, 3, 4, 5, 8, 32]), min_size=1, max_size=3))
def test_simulated_bits_cost_what_the_built_network_costs(example: Example, seed: int, bits: set[int]) -> None:
    config = SpaceConfig(min_keep=0.01, bits=tuple(bits), simulate=True)
    model = priced(example, config)
    indices = sampled(model.space, seed, 3)
    prices = model.prices(indices)
    for row, index in enumerate(indices):
        policy = model.space.decode(index)
        assert weighed(model, policy) == counted(built_from(example, model, policy), example.inputs)
        assert sum(model.breakdown(index, "size").values()) == prices["size"][row]


@settings(max_examples=10)
@given(networks(), seeds)
def test_the_full_policy_costs_what_the_original_costs(example: Example, seed: int) -> None:
    model = priced(example)
    assert weighed(model, model.space.decode(model.space.full)) == counted(example.model, example.inputs)


@pytest.mark.parametrize("kept", [(0, 1, 1, 1), (1, 0, 0, 1), (0, 0, 1, 0), (0, 0, 0, 0)])
def test_cost_follows_dropped_blocks_and_widths_together(kept: tuple[int, ...]) -> None:
    example = Example(randomize(CifarResNet(2, widths=(6, 8, 12), option="B"), seed=0), torch.ones(1, 3, 16, 16))
    model = priced(example)
    index = sampled(model.space, seed=0)[0]
    index[model.space.is_depth] = kept
    policy = model.space.decode(index)
    built = compress(example.model, model.graph, policy, magnitudes(example.model, model.graph))
    assert len(built.dropped) == kept.count(0)
    assert built.kept and built.bits
    assert weighed(model, policy) == counted(built_from(example, model, policy), example.inputs)


@settings(max_examples=20)
@given(networks(), seeds)
def test_prices_of_many_are_the_costs_of_each(example: Example, seed: int) -> None:
    model = priced(example)
    indices = sampled(model.space, seed, 8)
    prices = model.prices(indices)
    assert set(prices) == set(model.metrics) == {"macs", "params", "size", "memory"}
    for row, index in enumerate(indices):
        cost = model.cost(model.space.decode(index))
        assert {metric: values[row] for metric, values in prices.items()} == {m: cost.get(m) for m in prices}


@settings(max_examples=20)
@given(networks(batch=3), seeds)
def test_the_batch_does_not_change_macs_for_one_example(example: Example, seed: int) -> None:
    several = priced(example)
    single = priced(Example(example.model, example.inputs[:1]))
    assert several.space == single.space
    indices = sampled(single.space, seed, 4)
    for metric, values in single.prices(indices).items():
        examples = 3 if metric == "memory" else 1  # activations of all examples are there at once
        assert np.array_equal(several.prices(indices)[metric], examples * values), metric


@settings(max_examples=20)
@given(networks(), seeds)
def test_what_each_part_costs_adds_up(example: Example, seed: int) -> None:
    model = priced(example)
    index = sampled(model.space, seed)[0]
    for metric in model.metrics:
        parts = list(model.breakdown(index, metric).values())
        assert sum(parts) == pytest.approx(model.cost(model.space.decode(index)).get(metric), rel=1e-12)
        assert parts == sorted(parts, reverse=True)


class Attention(nn.Module):
    """One transformer layer over the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 2, 2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.up, self.down, self.classify = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        tokens = tokens + self.down(torch.relu(self.up(self.norm(tokens))))
        return self.classify(tokens.mean(1))


def test_attention_is_counted() -> None:
    torch.manual_seed(0)
    network, inputs = Attention().eval(), torch.randn(1, 3, 8, 8)
    model = priced(Example(network, inputs))
    with FlopCounterMode(display=False) as counter:  # with gradients, so that attention is not one uncounted operator
        network(inputs)
    assert model.cost(model.space.decode(model.space.full)).macs == counter.get_total_flops() / 2


def test_shared_weights_count_once() -> None:
    shared = nn.Conv2d(6, 6, 3, padding=1)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), Mean(), nn.Linear(6, 3)]
    example = Example(randomize(nn.Sequential(*layers), seed=0), torch.ones(1, 3, 8, 8))
    model = priced(example)
    for index in sampled(model.space, 0, 4):
        policy = model.space.decode(index)
        assert weighed(model, policy) == counted(built_from(example, model, policy), example.inputs)


@settings(max_examples=30)
@given(networks(), seeds)
def test_a_policy_survives_encoding_and_plain_data(example: Example, seed: int) -> None:
    space = priced(example).space
    for index in sampled(space, seed, 4):
        policy = space.decode(index)
        assert np.array_equal(space.encode(policy), index)
        again = Policy.from_dict(policy.to_dict())
        assert (again, hash(again)) == (policy, hash(policy))
        shuffled = Policy({unit: policy[unit] for unit in reversed(list(policy))})
        assert (shuffled, hash(shuffled)) == (policy, hash(policy))


def test_policies_that_differ_inside_a_dropped_block_only_are_equal() -> None:
    example = Example(CifarResNet(2, widths=(6, 8, 12), option="B"), torch.ones(1, 3, 16, 16))
    model = priced(example)
    space = model.space
    names = [axis.name for axis in space.axes]
    block, inside, outside = (names.index(f"layer1.{n}") for n in ("1.keep", "1.conv1.channels", "0.conv1.channels"))
    one, other = space.full.copy(), space.full.copy()
    other[inside] = 0
    assert space.decode(one) != space.decode(other)
    one[block] = other[block] = 0
    assert space.decode(one) == space.decode(other)
    assert hash(space.decode(one)) == hash(space.decode(other))
    assert model.prices(one[None]) == model.prices(other[None])
    assert np.array_equal(space.encode(space.decode(other)), space.canonical(other))
    other[outside] = 0
    assert space.decode(one) != space.decode(other)


@pytest.mark.parametrize(
    ("unit", "choice", "message"),
    [
        ("layer1.0.conv", Choice(channels=4), "unit 'layer1.0.conv'.*did you mean 'layer1.0.conv"),
        ("layer1.0.conv1", Choice(channels=7), "chooses channels=7 for layer1.0.conv1"),
        ("layer1.0.conv1", Choice(), "chooses channels=None for layer1.0.conv1"),
    ],
)
def test_a_policy_that_the_space_does_not_offer_is_refused(unit: str, choice: Choice, message: str) -> None:
    example = Example(CifarResNet(1, widths=(6, 8, 12), option="B"), torch.ones(1, 3, 16, 16))
    space = priced(example).space
    with pytest.raises(ConfigError, match=message):
        space.encode(Policy({**space.decode(space.full), unit: choice}))
