"""Rewards: their formulas by hand, and what holds for all of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automc.costs import Budget, CostModel, Projection
from automc.envs import REWARDS, Reward
from automc.errors import ConfigError
from automc.latency_tables.simulated import make_accelerator
from automc.search_spaces import Policy
from automc.testing import toy_problem

ORIGINAL = 0.9
COSTLY = [name for name in REWARDS if name not in ("-error", "haq")]


def on_device(*budgets: str) -> Projection:
    """The toy network on an accelerator on paper, which gives latencies and energies."""
    model = toy_problem(bits=False).projection.model
    device = make_accelerator("bitfusion")
    return Projection(CostModel(model.graph, model.space, device), [Budget.parse(text) for text in budgets])


DEVICE = on_device("macs<=60%")
BARE = toy_problem("macs<=60%").projection


def policies(projection: Projection, count: int, seed: int = 0) -> list[Policy]:
    space = projection.model.space
    return [space.decode(index) for index in space.sample(np.random.default_rng(seed), count)]


SOME = policies(DEVICE, 12)
FULL = DEVICE.model.space.decode(DEVICE.model.space.full)


@pytest.mark.parametrize("name", REWARDS)
@given(low=st.floats(0, 1), high=st.floats(0, 1), which=st.integers(0, len(SOME) - 1))
def test_rises_with_the_score_at_equal_costs(name: str, low: float, high: float, which: int) -> None:
    reward = Reward(name, DEVICE, ORIGINAL)
    low, high = min(low, high), max(low, high)
    assert reward(SOME[which], low) <= reward(SOME[which], high)
    if high - low > 1e-9:
        assert reward(SOME[which], low) < reward(SOME[which], high)


@pytest.mark.parametrize("name", COSTLY)
@given(score=st.floats(0.01, 0.99), axis=st.integers(0, len(FULL) - 1), seed=st.integers(0, 3))
def test_falls_with_costs_at_equal_score(name: str, score: float, axis: int, seed: int) -> None:
    space = DEVICE.model.space
    dearer = space.sample(np.random.default_rng(seed), 1)[0]
    dearer[axis] = space.full[axis]
    cheaper = dearer.copy()
    cheaper[axis] = 0
    one, other = space.decode(cheaper), space.decode(dearer)
    # that a group is pruned needs an index, so its storage is left out here
    terms: dict[str, Any] = {"weights": dict.fromkeys(("accuracy", "params", "latency", "macs", "energy"), 1)}
    reward = Reward(name, DEVICE, ORIGINAL, **(terms if name == "weighted" else {}))
    costs = [DEVICE.model.cost(policy) for policy in (one, other)]
    metrics = ("params", "latency", "macs", "energy") if name == "weighted" else REWARDS[name].metrics
    assert all(costs[0].get(metric) <= costs[1].get(metric) for metric in metrics)
    assert reward(one, score) >= reward(other, score)
    if all(costs[0].get(metric) < costs[1].get(metric) for metric in metrics):
        assert reward(one, score) > reward(other, score)


@pytest.mark.parametrize("policy", SOME[:4])
def test_values_are_those_of_the_formulas(policy: Policy) -> None:
    cost, full = DEVICE.model.cost(policy), DEVICE.model.cost(FULL)
    assert cost.latency and full.latency and cost.energy and full.energy
    groups = {unit: (choice.channels, FULL[unit].channels) for unit, choice in policy.items() if choice.channels}
    pruned = sum(most or 0 for channels, most in groups.values() if channels != most)
    saved = [
        1 - cost.params / full.params,
        1 - cost.latency / full.latency,
        1 - cost.macs / full.macs,
        1 - cost.energy / full.energy,
        1 - pruned / sum(most or 0 for _, most in groups.values()),
    ]
    expected = {
        "-error": -0.2,
        "-error*log(macs)": -0.2 * math.log(cost.macs),
        "-error*log(params)": -0.2 * math.log(cost.params),
        "haq": -1.0,  # ten points of percent
        "mnasnet": 0.8 * (cost.latency / full.latency) ** -0.07,
        "weighted": (5 * 0.8 / 0.9 + sum(saved)) / 10,
    }
    assert {name: Reward(name, DEVICE, ORIGINAL)(policy, 0.8) for name in REWARDS} == pytest.approx(expected)


def test_the_latency_budget_is_the_target() -> None:
    projection = on_device("latency<=50%")
    limit = projection.limits["latency"]
    for policy in SOME[:4]:
        latency = DEVICE.model.cost(policy).get("latency")
        assert Reward("mnasnet", projection)(policy, 0.5) == pytest.approx(0.5 * (latency / limit) ** -0.07)
        hard = 0.5 if latency <= limit else 0.5 * limit / latency
        assert Reward("mnasnet", projection, alpha=0, beta=-1)(policy, 0.5) == pytest.approx(hard)


def test_twice_the_latency_for_five_percent_more_accuracy_is_an_even_trade() -> None:
    reward = Reward("mnasnet", DEVICE)
    pairs = [(policy, DEVICE.model.cost(policy).get("latency")) for policy in SOME]
    (slow, most), (fast, least) = max(pairs, key=lambda pair: pair[1]), min(pairs, key=lambda pair: pair[1])
    doublings = math.log2(most / least)
    assert reward(slow, 0.5 * 1.05**doublings) == pytest.approx(reward(fast, 0.5), rel=0.002 * doublings)


def test_weights_say_what_counts() -> None:
    policy, full = SOME[0], DEVICE.model.cost(FULL)
    saved = 1 - DEVICE.model.cost(policy).macs / full.macs
    reward = Reward("weighted", DEVICE, ORIGINAL, weights={"accuracy": 3, "macs": 1, "energy": 0})
    assert reward(policy, 0.6) == pytest.approx((3 * 0.6 / 0.9 + saved) / 4)
    assert Reward("weighted", DEVICE, ORIGINAL, weights={"accuracy": 2})(policy, 0.9) == 1


def test_index_storage_is_of_pruned_groups_only() -> None:
    reward = Reward("weighted", DEVICE, weights={"accuracy": 1, "index": 1})
    space = DEVICE.model.space
    assert reward(FULL, 1.0) == 1
    assert reward(space.decode(np.where(space.is_width, 0, space.full)), 1.0) == 0.5
    assert reward(space.decode(np.where(space.is_width, space.full - 1, space.full)), 1.0) == 0.5  # however little


def test_what_no_device_gives_is_left_out_by_default_and_refused_when_asked_for() -> None:
    space = BARE.model.space
    policy = space.decode(np.zeros_like(space.full))
    known = {"accuracy": 5, "params": 1, "macs": 1, "index": 1}
    named = Reward("weighted", BARE, ORIGINAL, weights=known)
    assert Reward("weighted", BARE, ORIGINAL)(policy, 0.7) == named(policy, 0.7)
    with pytest.raises(ConfigError, match="reward 'weighted': weights: energy is not known here"):
        Reward("weighted", BARE, ORIGINAL, weights={**known, "energy": 1})
    with pytest.raises(ConfigError, match="reward 'mnasnet': needs a latency; give a latency table"):
        Reward("mnasnet", BARE)


@pytest.mark.parametrize("name", ["-error", "-error*log(macs)", "-error*log(params)", "haq"])
def test_a_score_to_be_minimized_is_the_error(name: str) -> None:
    lower, higher = Reward(name, DEVICE, 1 - ORIGINAL, higher_is_better=False), Reward(name, DEVICE, ORIGINAL)
    for policy in SOME[:3]:
        assert lower(policy, 0.3) == pytest.approx(higher(policy, 0.7))
        assert lower(policy, 30.0) < lower(policy, 20.0)  # such as a perplexity


@pytest.mark.parametrize(
    ("name", "score", "higher_is_better", "message"),
    [
        ("mnasnet", 93.2, True, r"needs a score in \[0, 1\], not 93.2; for any other, -error"),
        ("weighted", -0.1, True, r"needs an? .*score in .0, 1\], not -0.1"),
        ("-error*log(macs)", 93.2, True, "needs a score of at most 1, not 93.2"),
        ("-error*log(params)", -1.0, False, "needs a score of at least 0, not -1"),
    ],
)
def test_scores_without_a_reward_are_refused(name: str, score: float, higher_is_better: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Reward(name, DEVICE, 0.5, higher_is_better)(FULL, score)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=message):  # before anything is scored
        Reward(name, DEVICE, score, higher_is_better)


@pytest.mark.parametrize("name", ["mnasnet", "weighted"])
def test_what_needs_an_accuracy_takes_no_score_to_be_minimized(name: str) -> None:
    with pytest.raises(ConfigError, match="for one to be minimized, -error is defined"):
        Reward(name, DEVICE, 0.5, higher_is_better=False)


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_refused(name: str, score: float) -> None:
    with pytest.raises(ValueError, match="a score must be a number"):
        Reward(name, DEVICE)(FULL, score)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("haqq", {}, "unknown reward 'haqq' .did you mean 'haq'"),
        ("mnasnet", {"alfa": 0}, "reward 'mnasnet' has no setting 'alfa' .did you mean 'alpha'"),
        ("haq", {"alpha": 0}, "reward 'haq' has no setting 'alpha'"),
        ("mnasnet", {"alpha": 0.07}, "alpha must be a number of at most 0, not 0.07"),
        ("mnasnet", {"beta": math.nan}, "beta must be a number"),
        ("mnasnet", {"beta": "-1"}, "beta must be a number"),
        ("weighted", {"weights": [1, 2]}, "weights must be numbers by name"),
        ("weighted", {"weights": {"acuracy": 1}}, "unknown term 'acuracy' .did you mean 'accuracy'"),
        ("weighted", {"weights": {"accuracy": -1}}, "accuracy must be a number of at least 0, not -1"),
        ("weighted", {"weights": {"accuracy": 1, "macs": True}}, "macs must be a number"),
        ("weighted", {"weights": {"macs": 1}}, "accuracy must be above 0"),
        ("weighted", {"weights": {}}, "accuracy must be above 0"),
    ],
)
def test_names_and_settings_that_make_no_sense_are_refused(name: str, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Reward(name, DEVICE, ORIGINAL, **settings)
    assert "\n" not in str(caught.value)


def test_a_network_that_is_always_wrong_has_no_ratio() -> None:
    with pytest.raises(ConfigError, match=r"needs an original score in \(0, 1\], not 0"):
        Reward("weighted", DEVICE, 0.0)


def test_a_policy_of_another_space_is_refused() -> None:
    with pytest.raises(ConfigError, match="the policy has unit 'other'"):
        Reward("-error", DEVICE)(Policy({"other": FULL[next(iter(FULL))]}), 0.5)


def test_the_documentation_lists_them_all() -> None:
    text = (Path(__file__).parent.parent / "docs" / "rewards.md").read_text()
    rows = {line.split("|")[1].strip(" `"): line for line in text.splitlines() if line.startswith("| `")}
    assert set(rows) == set(REWARDS)
    for name, formula in REWARDS.items():
        assert formula.text in rows[name]
        assert formula.source in rows[name]
        assert all(f"`{setting}`" in rows[name] for setting in formula.settings)
