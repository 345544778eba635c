"""Gymnasium and Stable-Baselines3 accept the environments, and their episodes keep the budget."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from automc.envs import ENVS, CompressEnv, PolicyEnv
from automc.search_spaces import Policy
from automc.testing import toy_problem, toy_score


@pytest.fixture(params=ENVS)
def env(request: pytest.FixtureRequest) -> PolicyEnv:
    made = gymnasium.make(request.param, projection=toy_problem("macs<=40%").projection, reward=toy_score)
    assert isinstance(made.unwrapped, PolicyEnv)
    return made.unwrapped


def run(env: PolicyEnv) -> tuple[list[float], Policy]:
    """Takes random actions to an episode's end; returns rewards and the policy."""
    env.reset()
    rewards: list[float] = []
    while True:
        _, reward, done, _, info = env.step(env.action_space.sample())
        rewards.append(reward)
        if done:
            return rewards, info["policy"]


def test_both_checkers_accept_it(env: PolicyEnv) -> None:
    check_env(env, skip_render_check=True)
    check_env_sb3(env)


def test_an_episode_ends_with_a_policy_on_the_budget(env: PolicyEnv) -> None:
    env.action_space.seed(0)
    for _ in range(10):
        rewards, policy = run(env)
        assert not any(rewards[:-1])
        assert rewards[-1] == toy_score(policy)
        assert env.projection.fits(env.space.encode(policy)[None])[0]


def test_replaying_a_policy_is_taking_its_actions(env: PolicyEnv) -> None:
    env.action_space.seed(1)
    for _ in range(10):
        _, policy = run(env)
        episode = env.replay(policy)
        observation, _ = env.reset()
        for step, (action, expected) in enumerate(zip(episode.actions, episode.observations[1:], strict=True)):
            np.testing.assert_array_equal(observation, episode.observations[step])
            observation, _, done, _, info = env.step(action)
            np.testing.assert_array_equal(observation, expected)
            assert done == (step == len(episode.actions) - 1)
        assert info["policy"] == policy


@pytest.mark.parametrize("action", [np.nan, np.inf])
def test_an_action_that_is_no_number_is_refused(env: PolicyEnv, action: float) -> None:
    env.reset()
    with pytest.raises(ValueError, match="must be a number"):
        env.step(np.array([action], dtype=np.float32))


def test_actions_pick_options_evenly() -> None:
    problem = toy_problem("macs<=100%")
    env = CompressEnv(problem.projection)
    for action, expected in ((1.0, problem.space.full), (0.0, np.zeros_like(problem.space.full))):
        env.reset()
        done, info = False, dict[str, object]()
        while not done:
            *_, done, _, info = env.step(np.array([action], dtype=np.float32))
        assert info["policy"] == problem.space.decode(expected)
