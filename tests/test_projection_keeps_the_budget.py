from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from automc.costs import Budget, CostModel, Projection, check_reachable
from automc.costs.reach import cheapest
from automc.errors import BudgetError
from automc.latency_tables import Entry, LatencyTable, Overhead
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig
from tests.networks import Branches, Example, Mean, device, networks, priced, randomize, with_random_table

METRICS = ("latency", "macs", "params", "size", "memory")
seeds = st.integers(0, 2**16)


def at_most(metric: str, value: float) -> Budget:
    return Budget(metric, value, relative=False, text=f"{metric}<={value}")


def price(model: CostModel, index: np.ndarray, metric: str) -> float:
    return float(model.prices(index[None])[metric][0])


def reachable(model: CostModel, index: np.ndarray, metrics: tuple[str, ...]) -> list[Budget]:
    """Budgets that one policy just keeps, and that the policy of least latency keeps too."""
    fastest = cheapest(model, "latency")
    return [at_most(m, max(price(model, index, m), price(model, fastest, m))) for m in metrics]


def every_policy(model: CostModel) -> np.ndarray:
    return np.array(list(itertools.product(*(range(size) for size in model.space.sizes))))


@pytest.fixture(scope="module")
def resnet() -> CostModel:
    """Blocks to drop and widths to choose, with a random latency table."""
    network = randomize(CifarResNet(2, widths=(4, 6, 8), option="B"), seed=0)
    return with_random_table(priced(Example(network, torch.ones(1, 3, 16, 16))), seed=0)


def assert_keeps(projection: Projection, budgets: list[Budget], rng: np.random.Generator) -> None:
    model = projection.model
    for index in [model.space.full, *model.space.sample(rng, 4)]:
        projected = projection.project(index)
        for budget in budgets:
            assert price(model, projected, budget.metric) <= budget.value
        assert np.array_equal(projection.project(projected), projected)
        if all(price(model, index, budget.metric) <= budget.value for budget in budgets):
            assert np.array_equal(projected, index)


@settings(max_examples=40)
@given(networks(grouped=False), seeds, st.sets(st.sampled_from(METRICS), min_size=1))
def test_a_projected_policy_keeps_all_budgets(example: Example, seed: int, metrics: set[str]) -> None:
    model = with_random_table(priced(example), seed)
    rng = np.random.default_rng(seed)
    budgets = reachable(model, model.space.sample(rng, 1)[0], tuple(sorted(metrics)))
    assert_keeps(Projection(model, budgets), budgets, rng)


@settings(max_examples=25)
@given(seeds, st.sets(st.sampled_from(METRICS), min_size=1))
def test_with_blocks_to_drop_a_projected_policy_keeps_all_budgets(
    resnet: CostModel, seed: int, metrics: set[str]
) -> None:
    rng = np.random.default_rng(seed)
    budgets = reachable(resnet, resnet.space.sample(rng, 1)[0], tuple(sorted(metrics)))
    assert_keeps(Projection(resnet, budgets), budgets, rng)


@pytest.mark.parametrize(
    ("metric", "share"),
    [*itertools.product(["macs", "params", "size"], [0.25, 0.5, 0.9]), ("memory", 0.5), ("memory", 0.9)],
)
def test_a_share_is_kept_exactly_and_not_undercut_by_more_than_a_step(
    resnet: CostModel, metric: str, share: float
) -> None:
    full = price(resnet, resnet.space.full, metric)
    projected = Projection(resnet, [Budget.parse(f"{metric}<={100 * share:g}%")]).project(resnet.space.full)
    assert price(resnet, projected, metric) <= share * full
    for axis in np.flatnonzero((projected < resnet.space.full) & ~resnet.space.is_depth):
        wider = projected.copy()
        wider[axis] += 1
        assert price(resnet, wider, metric) > share * full  # there was no room left


def test_widths_shrink_before_blocks_are_dropped(resnet: CostModel) -> None:
    projected = Projection(resnet, [Budget.parse("macs<=50%")]).project(resnet.space.full)
    assert (projected[resnet.space.is_depth] == 1).all()
    narrowest = np.where(resnet.space.is_depth, 1, 0)
    below = at_most("macs", price(resnet, narrowest, "macs") - 1)
    projected = Projection(resnet, [below]).project(resnet.space.full)
    assert (projected[resnet.space.is_depth] == 0).sum() == 1


def test_widths_of_layers_that_cost_the_same_shrink_alike() -> None:
    branches = Branches(nn.Conv2d(3, 16, 3), nn.Conv2d(3, 16, 3))
    example = Example(randomize(nn.Sequential(branches, Mean(), nn.Linear(32, 3)), 0), torch.ones(1, 3, 8, 8))
    model = priced(example, SpaceConfig(min_keep=0.01))
    for percent in range(20, 100):
        projection = Projection(model, [Budget.parse(f"params<={percent}%")])
        left, right = projection.project(model.space.full)
        assert abs(left - right) <= 1
        wide, narrow = projection.project(np.array([15, 5]))
        assert abs((wide + 1) / 16 - (narrow + 1) / 6) <= 1 / 6 + 1e-9  # channels, of those asked for


def test_the_tighter_of_two_budgets_on_one_metric_counts(resnet: CostModel) -> None:
    budgets = [Budget.parse("macs<=80%"), Budget.parse("macs<=40%"), Budget.parse("macs<=60%")]
    projected = Projection(resnet, budgets).project(resnet.space.full)
    assert price(resnet, projected, "macs") <= 0.4 * price(resnet, resnet.space.full, "macs")


def test_without_budgets_every_policy_stays(resnet: CostModel) -> None:
    index = resnet.space.sample(np.random.default_rng(0), 1)[0]
    assert np.array_equal(Projection(resnet, []).project(index), index)


@settings(max_examples=30)
@given(networks(grouped=False), seeds, st.sampled_from(METRICS))
def test_what_cannot_be_reached_is_refused_with_what_can(example: Example, seed: int, metric: str) -> None:
    model = with_random_table(priced(example), seed)
    smallest = price(model, cheapest(model, metric), metric)
    with pytest.raises(BudgetError) as caught:
        Projection(model, [at_most(metric, smallest * (1 - 1e-9))])
    message = str(caught.value)
    assert "\n" not in message
    named = re.search(rf"the smallest {metric} in this space is (.*?) \((.*?)% of", message)
    assert named
    for budget in (Budget.parse(f"{metric}<={named[1]}"), Budget.parse(f"{metric}<={named[2]}%")):
        projected = Projection(model, [budget]).project(model.space.full)
        assert price(model, projected, metric) <= budget.limit(price(model, model.space.full, metric))
        # the search for the smallest may end in a valley: latency may fall with a width, memory rise with int8
        assert smallest <= price(model, projected, metric) or metric in {"latency", "memory"}


@settings(max_examples=30)
@given(networks(grouped=False), seeds, st.sampled_from(METRICS))
def test_what_the_original_costs_can_always_be_asked_for(example: Example, seed: int, metric: str) -> None:
    model = with_random_table(priced(example), seed)
    projection = Projection(model, [Budget.parse(f"{metric}<=100%")])
    assert np.array_equal(projection.project(model.space.full), model.space.full)


def test_where_narrow_is_slow_the_original_is_still_reachable() -> None:
    layers = [nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3), Mean(), nn.Linear(4, 3)]
    bare = priced(Example(randomize(nn.Sequential(*layers), 0), torch.ones(1, 3, 8, 8)))
    table = LatencyTable(device(), Overhead(0.0, 0.0))
    for signature in bare.all_signatures(most=10**9):
        # a valley at the narrowest: from there, every single step up is slower
        us = 1.0
        if ("k", (3, 3)) in signature.rest:
            us = 5.0 if signature.channels == (4, 4) else 10.0 if signature.channels == (1, 1) else 20.0
        table.entries[signature] = Entry(us, us, us, runs=1)
    model = CostModel(bare.graph, bare.space, table)
    assert np.array_equal(cheapest(model, "latency"), model.space.full)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", ["macs", "params", "size", "memory"])
def test_the_smallest_reachable_value_is_the_smallest_there_is(metric: str, seed: int) -> None:
    network = randomize(CifarResNet(1, widths=(3, 4, 5), option="B"), seed)
    config = SpaceConfig(min_keep=0.5, exclude=("conv1", "layer2*") if seed == 1 else ())
    model = priced(Example(network, torch.ones(1, 3, 12, 12)), config)
    smallest = float(model.prices(every_policy(model))[metric].min())
    check_reachable(model, [at_most(metric, smallest)])
    with pytest.raises(BudgetError):
        check_reachable(model, [at_most(metric, smallest - 1)])


def test_the_refusal_names_what_most_of_the_cost_is_left_in() -> None:
    network = randomize(CifarResNet(1, widths=(4, 4, 32), option="B"), seed=0)
    config = SpaceConfig(width=True, depth=False, exclude=("layer3*", "linear"))
    model = priced(Example(network, torch.ones(1, 3, 16, 16)), config)
    with pytest.raises(BudgetError, match=r"params<=1%.*most of it is left in layer3\.0\.conv2 9\.22 k"):
        check_reachable(model, [Budget.parse("params<=1%")])


def test_budgets_that_exclude_each_other_are_refused_together() -> None:
    network = randomize(CifarResNet(1, widths=(4, 6, 8), option="B"), seed=0)
    model = with_random_table(priced(Example(network, torch.ones(1, 3, 16, 16))), seed=1)
    fastest, smallest = cheapest(model, "latency"), cheapest(model, "macs")
    budgets = [at_most("latency", price(model, fastest, "latency")), at_most("macs", price(model, smallest, "macs"))]
    for budget in budgets:
        Projection(model, [budget])
    with pytest.raises(BudgetError, match=r"latency<=.* and macs<=.* not together"):
        Projection(model, budgets)


@settings(max_examples=15)
@given(networks(), st.integers(0, 2**16))
def test_bits_are_lowered_only_where_they_may_be(example: Example, seed: int) -> None:
    model = priced(example)
    sampled = model.space.sample(np.random.default_rng(seed), 1)[0]
    index = model.space.canonical(np.where(model.space.is_bits, model.space.full, sampled))
    for percent in (90, 70, 50):
        try:
            projection = Projection(priced(example, SpaceConfig(min_keep=0.01)), [Budget.parse(f"size<={percent}%")])
        except BudgetError:  # in float it cannot be reached
            continue
        limit = projection.limits["size"]
        projected = Projection(model, [at_most("size", limit)]).project(index, lower_bits=False)
        assert (projected[model.space.is_bits] == index[model.space.is_bits]).all()
