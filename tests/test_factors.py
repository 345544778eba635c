"""A metric's tables add up to what the cost model says of every policy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automc.costs import CostModel
from automc.graph import build_graph
from automc.latency_tables.simulated import make_accelerator
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig, build_space
from tests.networks import Example, networks, priced, randomize, with_random_table

seeds = st.integers(0, 2**16)
POLICIES = 40


def assert_equals_the_cost_model(model: CostModel, metric: str, seed: int) -> None:
    """Random policies, and those around the original, among all options and among some."""
    space, rng = model.space, np.random.default_rng(seed)
    some = [np.unique(np.append(rng.integers(0, size, 3), size - 1)) for size in space.sizes]
    everything = [np.arange(size) for size in space.sizes]
    for options in (everything, some):
        picked = np.stack([rng.choice(numbers, POLICIES) for numbers in options], axis=1)
        stays = rng.random(picked.shape) < rng.random((POLICIES, 1))
        policies = space.canonical(np.where(stays, space.full, picked))
        found = model.factors(metric, options).prices(policies)
        assert found == pytest.approx(model.prices(policies, [metric])[metric], rel=1e-9)


@settings(max_examples=20)
@given(networks(), seeds, st.sampled_from(["macs", "params", "size"]))
def test_widths_and_int8_on_a_processor(example: Example, seed: int, metric: str) -> None:
    assert_equals_the_cost_model(priced(example), metric, seed)


@settings(max_examples=12)
@given(networks(grouped=False), seeds)
def test_latency_on_a_processor(example: Example, seed: int) -> None:
    assert_equals_the_cost_model(with_random_table(priced(example), seed), "latency", seed)


@settings(max_examples=12)
@given(networks(), seeds, st.sampled_from(["params", "size"]), st.sets(st.sampled_from([2, 3, 8, 32]), min_size=1))
def test_simulated_bits(example: Example, seed: int, metric: str, bits: set[int]) -> None:
    model = priced(example, SpaceConfig(min_keep=0.01, bits=tuple(bits), simulate=True))
    assert_equals_the_cost_model(model, metric, seed)


@settings(max_examples=12)
@given(networks(), seeds, st.sampled_from(["latency", "energy", "size"]))
def test_bits_of_each_layer_on_an_accelerator(example: Example, seed: int, metric: str) -> None:
    hardware = make_accelerator("bismo-cloud")
    graph = build_graph(*example)
    space = build_space(graph, SpaceConfig(min_keep=0.01, bits=(2, 5, 8)), 1, hardware.device.precisions)
    assert_equals_the_cost_model(CostModel(graph, space, hardware), metric, seed)


@pytest.mark.parametrize("bits", [(), (8,)])
def test_blocks_widths_and_int8_of_a_residual_network(bits: tuple[int, ...]) -> None:
    network = randomize(CifarResNet(3, widths=(4, 6, 8), option="B"), seed=0)
    model = priced(Example(network, torch.ones(1, 3, 16, 16)), SpaceConfig(channel_multiple=2, bits=bits))
    for seed, metric in enumerate(("latency", "macs", "params", "size")):
        assert_equals_the_cost_model(with_random_table(model, seed), metric, seed)


def test_memory_which_is_no_sum_has_no_tables() -> None:
    network = randomize(CifarResNet(1, widths=(4, 6, 8), option="B"), seed=0)
    with pytest.raises(ValueError, match="memory"):
        priced(Example(network, torch.ones(1, 3, 16, 16))).factors("memory")
