"""What a walk says of the policies around it is what the cost model says of each."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from automc.costs import CostModel, Walk
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig
from tests.networks import Example, priced, randomize, with_random_table
from tests.prices import Priced, on_a_processor, on_an_accelerator, seeds, with_latency, with_simulated_bits

STEPS = 12


def assert_equals_the_cost_model(model: CostModel, metric: str, seed: int) -> None:
    """Goes a random way and back to where it started, and from there once more."""
    space, rng = model.space, np.random.default_rng(seed)
    start = space.sample(rng, 1)[0]
    walk = Walk(model, metric, start)
    for _ in range(2):
        at = start.copy()
        for _ in range(STEPS):
            axis = int(rng.integers(len(space.axes)))
            option = int(rng.integers(space.sizes[axis]))
            around = np.repeat(at[None], space.sizes[axis], axis=0)
            around[:, axis] = np.arange(space.sizes[axis])
            expected = model.prices(around, [metric])[metric]
            if rng.random() < 0.8:  # who moves need not have asked
                found = walk.options(axis)
                assert found == pytest.approx(expected, rel=1e-9)
                assert found[at[axis]] == walk.price
                found[:] = 0  # is the caller's own
            walk.move(axis, option)
            at[axis] = option
            assert walk.price == pytest.approx(expected[option], rel=1e-9)
            assert np.array_equal(walk.index, at)
        walk.restart(start)
        assert walk.price == pytest.approx(model.prices(start[None], [metric])[metric][0], rel=1e-9)


@settings(max_examples=20)
@given(on_a_processor(["macs", "params", "size", "memory"]), seeds)
def test_widths_and_int8_on_a_processor(case: Priced, seed: int) -> None:
    assert_equals_the_cost_model(*case, seed)


@settings(max_examples=12)
@given(with_latency(), seeds)
def test_latency_on_a_processor(case: Priced, seed: int) -> None:
    assert_equals_the_cost_model(*case, seed)


@settings(max_examples=12)
@given(with_simulated_bits(), seeds)
def test_simulated_bits(case: Priced, seed: int) -> None:
    assert_equals_the_cost_model(*case, seed)


@settings(max_examples=12)
@given(on_an_accelerator(), seeds)
def test_bits_of_each_layer_on_an_accelerator(case: Priced, seed: int) -> None:
    assert_equals_the_cost_model(*case, seed)


@pytest.fixture(scope="module")
def resnet() -> Example:
    network = randomize(CifarResNet(2, widths=(4, 6, 8), option="B"), seed=0)
    return Example(network, torch.ones(1, 3, 16, 16))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bits", [(), (8,)])
def test_blocks_that_go_and_come_back(resnet: Example, bits: tuple[int, ...], seed: int) -> None:
    model = with_random_table(priced(resnet, SpaceConfig(channel_multiple=2, bits=bits)), seed)
    for metric in model.metrics:
        assert_equals_the_cost_model(model, metric, seed)


def test_what_is_inside_a_dropped_block_costs_nothing_until_it_is_back(resnet: Example) -> None:
    model = priced(resnet, SpaceConfig(channel_multiple=1))
    names = [axis.name for axis in model.space.axes]
    block, inside = names.index("layer1.1.keep"), names.index("layer1.1.conv1.channels")
    walk = Walk(model, "macs", model.space.full)
    before = walk.options(inside)
    assert before[0] < before[-1]
    walk.move(block, 0)
    assert set(walk.options(inside)) == {walk.price}
    walk.move(inside, 0)
    walk.move(block, 1)
    assert walk.price == before[0]


def test_a_metric_that_is_not_known_is_refused(resnet: Example) -> None:
    model = priced(resnet)
    with pytest.raises(ValueError, match="no latency without a latency table"):
        Walk(model, "latency", model.space.full)
