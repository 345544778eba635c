"""Policies over a budget where layers have many pairs of bits to choose from."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automc.costs import Budget, CostModel, Projection
from automc.graph import build_graph
from automc.latency_tables.simulated import make_accelerator
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig, build_space
from tests.networks import randomize

BITS = tuple(range(2, 9))
seeds = st.integers(0, 2**16)


@cache
def resnet(width: bool = False, bits: tuple[int, ...] = BITS) -> CostModel:
    """Bits of all layers on an accelerator that runs every pair, and where asked for widths and blocks too."""
    network = randomize(CifarResNet(2, widths=(8, 12, 16), option="B"), seed=0)
    hardware = make_accelerator("bismo-cloud")
    graph = build_graph(network, torch.ones(1, 3, 16, 16))
    config = SpaceConfig(width=width, depth=width, channel_multiple=4, bits=bits)
    return CostModel(graph, build_space(graph, config, 1, hardware.device.precisions), hardware)


def pairs(model: CostModel, index: np.ndarray) -> np.ndarray:
    """(L, 2) the bits of the layers, as numbers that can be compared."""
    options = (axis.options[option] for axis, option in zip(model.space.axes, index, strict=True))
    return np.array([pair for pair, is_bits in zip(options, model.space.is_bits, strict=True) if is_bits])


@settings(max_examples=15)
@given(seeds, st.booleans(), st.sampled_from(["latency", "energy", "size"]), st.integers(40, 99))
def test_the_budget_is_kept_and_no_layer_gets_more_bits_than_were_asked_for(
    seed: int, width: bool, metric: str, percent: int
) -> None:
    model = resnet(width)
    projection = Projection(model, [Budget.parse(f"{metric}<={percent}%")])
    for index in (model.space.full, *model.space.sample(np.random.default_rng(seed), 2)):
        projected = projection.project(index)
        assert model.prices(projected[None])[metric][0] <= projection.limits[metric]
        assert np.array_equal(projection.project(projected), projected)
        if projection.fits(index[None])[0]:
            assert np.array_equal(projected, index)
        there = ~((np.array(model.space.owners) >= 0) & (projected[list(model.space.owners)] == 0))
        there = there[model.space.is_bits]
        assert (pairs(model, projected)[there] <= pairs(model, index)[there]).all()


@pytest.mark.parametrize("metric", ["latency", "energy", "size"])
@pytest.mark.parametrize("percent", [40, 60, 80])
def test_no_layer_gets_fewer_bits_than_all_can_have_alike(metric: str, percent: int) -> None:
    model = resnet()
    projection = Projection(model, [Budget.parse(f"{metric}<={percent}%")])
    alike = [[axis.options.index((bits, bits)) for axis in model.space.axes] for bits in BITS]
    most = max(bits for bits, fits in zip(BITS, projection.fits(np.array(alike)), strict=True) if fits)
    projected = projection.project(model.space.full)
    assert pairs(model, projected).min() == most < 8
    for axis, option in enumerate(projected):  # and there is no room left for one bit more
        pair = model.space.axes[axis].options[option]
        for more in ((pair[0] + 1, pair[1]), (pair[0], pair[1] + 1)):
            if max(more) <= 8:
                wider = projected.copy()
                wider[axis] = model.space.axes[axis].options.index(more)
                assert not projection.fits(wider[None])[0]


def test_weights_and_activations_are_lowered_alike() -> None:
    model = resnet()
    projected = pairs(model, Projection(model, [Budget.parse("latency<=50%")]).project(model.space.full))
    assert np.abs(projected[:, 0] - projected[:, 1]).max() <= 1


def test_what_was_asked_for_each_layer_stays_in_proportion() -> None:
    model = resnet()
    axes = model.space.axes
    wanted = np.array([a.options.index((8, 8) if number % 2 else (4, 4)) for number, a in enumerate(axes)])
    price = model.prices(wanted[None])["latency"][0]
    budget = Budget("latency", 0.6 * price, relative=False, text="latency<=60%")
    projected = pairs(model, Projection(model, [budget]).project(wanted)).sum(axis=1)
    assert projected[0::2].max() <= 8
    assert projected[1::2].min() >= projected[0::2].min()
    assert projected[1::2].mean() > projected[0::2].mean()


def test_a_lower_pair_that_is_not_between_is_left_out() -> None:
    """From 2/8 to 8/4 there is nothing that is lower in neither number, so the way is to what was asked."""
    hardware, base = make_accelerator("bismo-cloud"), resnet()
    axes = tuple(
        type(axis)(axis.unit, axis.field, ((2, 8), (3, 8), (8, 4), (8, 8)) if n == 0 else axis.options)
        for n, axis in enumerate(base.space.axes)
    )
    space = type(base.space)(axes, base.space.owners)
    model = CostModel(base.graph, space, hardware)
    wanted = np.array([2, *space.full[1:]])
    for percent in (40, 60, 90, 99):
        projection = Projection(model, [Budget.parse(f"latency<={percent}%")])
        projected = projection.project(wanted)
        assert axes[0].options[projected[0]] in {(2, 8), (8, 4)}
        assert projection.fits(projected[None])[0]
