"""A metric's tables add up to what the cost model says of every policy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from automc.costs import CostModel
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig
from tests.networks import Example, priced, randomize, with_random_table
from tests.prices import Priced, on_a_processor, on_an_accelerator, seeds, with_latency, with_simulated_bits

POLICIES = 30


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


@settings(max_examples=8)
@given(on_a_processor(["macs", "params", "size"]), seeds)
def test_widths_and_int8_on_a_processor(case: Priced, seed: int) -> None:
    assert_equals_the_cost_model(*case, seed)


@settings(max_examples=5)
@given(with_latency(), seeds)
def test_latency_on_a_processor(case: Priced, seed: int) -> None:
    assert_equals_the_cost_model(*case, seed)


@settings(max_examples=5)
@given(with_simulated_bits(), seeds)
def test_simulated_bits(case: Priced, seed: int) -> None:
    assert_equals_the_cost_model(*case, seed)


@settings(max_examples=5)
@given(on_an_accelerator(), seeds)
def test_bits_of_each_layer_on_an_accelerator(case: Priced, seed: int) -> None:
    assert_equals_the_cost_model(*case, seed)


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
