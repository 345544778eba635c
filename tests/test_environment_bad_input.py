"""What environments do with input that makes no sense, and with networks that leave little to decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from torch import nn

from automc.costs import Budget, CostModel, Projection
from automc.costs.reach import cheapest
from automc.envs import ENVS, CompressEnv, PolicyEnv
from automc.errors import BudgetError, ConfigError
from automc.graph import build_graph
from automc.search_spaces import Choice, Policy, SpaceConfig, build_space
from automc.testing import toy_problem, toy_score

KINDS = pytest.mark.parametrize("kind", ENVS.values())
PROBLEM = toy_problem("macs<=60%")
MIDDLE = np.array([0.5], np.float32)


def run(env: PolicyEnv, action: float | None = None) -> tuple[float, Policy]:
    """Takes an episode to its end, by random actions where none is given; returns reward and policy."""
    env.reset()
    while True:
        taken = env.action_space.sample() if action is None else np.array([action], np.float32)
        observation, reward, done, _, info = env.step(taken)
        assert env.observation_space.contains(observation)
        if done:
            return float(reward), info["policy"]


def projection_of(
    model: nn.Module, example: torch.Tensor, config: SpaceConfig, *budgets: str, float_only: bool = True
) -> Projection:
    precisions = ((32, 32),) if float_only else ((8, 8), (32, 32))
    graph = build_graph(model.eval(), example)
    space = build_space(graph, config, 1, precisions)
    return Projection(CostModel(graph, space), [Budget.parse(text) for text in budgets])


@KINDS
def test_a_step_before_reset_or_after_the_end_is_refused(kind: type[PolicyEnv]) -> None:
    env = kind(PROBLEM.projection)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(MIDDLE)
    _, policy = run(env)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(MIDDLE)
    assert run(env, 1.0) == run(kind(PROBLEM.projection), 1.0)
    env.replay(policy)  # which resets it
    env.step(MIDDLE)


@KINDS
@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.array([0.1, 0.2]), r"an action must be one number in \[0, 1\], not of shape \(2,\)"),
        (np.array([]), r"not of shape \(0,\)"),
        (np.zeros((3, 1)), r"not of shape \(3, 1\)"),
        (np.array([np.nan]), "an action must be a number, not nan"),
        (np.array([-np.inf]), "an action must be a number, not -inf"),
        (None, "an action must be a number, not None"),
        ("half", "an action must be a number, not half"),
    ],
)
def test_an_action_that_is_not_one_number_is_refused_and_the_episode_goes_on(
    kind: type[PolicyEnv], action: Any, message: str
) -> None:
    env, undisturbed = kind(PROBLEM.projection), kind(PROBLEM.projection)
    env.reset()
    undisturbed.reset()
    with pytest.raises(ValueError, match=message):
        env.step(action)
    np.testing.assert_array_equal(env.step(MIDDLE)[0], undisturbed.step(MIDDLE)[0])


@KINDS
@pytest.mark.parametrize(("action", "taken"), [(-3.0, 0.0), (1.5, 1.0), (1e30, 1.0)])
def test_an_action_outside_of_its_range_is_the_nearest_inside(
    kind: type[PolicyEnv], action: float, taken: float
) -> None:
    assert run(kind(PROBLEM.projection), action) == run(kind(PROBLEM.projection), taken)


@KINDS
def test_what_a_reward_raises_is_passed_on_and_ends_the_episode(kind: type[PolicyEnv]) -> None:
    error = KeyError("lost")
    failing = True

    def reward(policy: Policy) -> float:
        if failing:
            raise error
        return toy_score(policy)

    env = kind(PROBLEM.projection, reward)
    with pytest.raises(KeyError) as caught:
        run(env, 0.5)
    assert caught.value is error
    with pytest.raises(ResetNeeded):
        env.step(MIDDLE)
    failing = False
    earned, policy = run(env, 0.5)
    assert earned == toy_score(policy)


@KINDS
@pytest.mark.parametrize("value", [float("nan"), float("-inf"), None, "good", [0.1, 0.2]])
def test_a_reward_that_is_no_number_is_refused(kind: type[PolicyEnv], value: Any) -> None:
    env = kind(PROBLEM.projection, lambda policy: value)
    with pytest.raises(ValueError, match="a reward must be a number, not") as caught:
        run(env, 0.5)
    assert "\n" not in str(caught.value)
    with pytest.raises(ResetNeeded):
        env.step(MIDDLE)


@KINDS
def test_a_policy_of_another_space_cannot_be_replayed(kind: type[PolicyEnv]) -> None:
    env = kind(PROBLEM.projection)
    env.reset()
    after = env.step(MIDDLE)[0]
    with pytest.raises(ConfigError, match="the policy has unit 'other', the space has not"):
        env.replay(Policy({"other": Choice(channels=1)}))
    env.reset()
    np.testing.assert_array_equal(env.step(MIDDLE)[0], after)


def test_a_single_decision_of_two_options() -> None:
    model = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3))
    projection = projection_of(model, torch.randn(1, 4), SpaceConfig(channel_multiple=1, bits=()))
    env = CompressEnv(projection, toy_score)
    assert [decision.name for decision in env.decisions] == ["0.channels"]
    check_env(env, skip_render_check=True)
    assert [run(env, action)[1]["0"].channels for action in (0.0, 0.49, 0.51, 1.0)] == [1, 1, 2, 2]


def test_a_network_of_one_layer() -> None:
    config, model = SpaceConfig(bits=(8,)), nn.Linear(6, 4)
    env = CompressEnv(projection_of(model, torch.randn(1, 6), config, float_only=False))
    check_env(env, skip_render_check=True)
    policies = [run(env, action)[1] for action in (0.0, 1.0)]
    assert [next(iter(policy.values())).precision for policy in policies] == ["int8", "float"]
    for policy in policies:
        assert len(env.replay(policy).actions) == 1


@KINDS
def test_a_budget_that_one_policy_meets(kind: type[PolicyEnv]) -> None:
    model = PROBLEM.projection.model
    least = model.space.decode(cheapest(model, "macs"))
    macs = model.cost(least).macs
    env = kind(Projection(model, [Budget.parse(f"macs<={macs:.0f}")]))
    env.action_space.seed(0)
    reached = [run(env)[1] for _ in range(5)]
    assert {model.cost(policy).macs for policy in reached} == {macs}
    with pytest.raises(BudgetError):
        Projection(model, [Budget.parse(f"macs<={macs - 1:.0f}")])


class Undecided(CompressEnv):
    """Decides about nothing."""

    def _decide_about(self) -> list:
        return []


def test_an_environment_with_nothing_to_decide_is_refused() -> None:
    with pytest.raises(ConfigError, match="Undecided finds nothing to decide in the search space"):
        Undecided(PROBLEM.projection)
