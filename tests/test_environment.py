"""The environment is one that Gymnasium and Stable-Baselines3 accept, and its episodes keep the budget."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import automc.envs
from automc.testing import toy_problem, toy_score


def test_both_checkers_accept_it() -> None:
    env = gymnasium.make("automc/Compress-v0", projection=toy_problem().projection, score=toy_score)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_sb3(env.unwrapped)


def test_an_episode_decides_every_axis_and_ends_with_a_policy_on_the_budget() -> None:
    problem = toy_problem("macs<=40%")
    env = automc.envs.CompressEnv(problem.projection, toy_score)
    env.action_space.seed(0)
    for _ in range(10):
        env.reset()
        rewards: list[float] = []
        done, info = False, dict[str, Any]()
        while not done:
            _, reward, done, _, info = env.step(env.action_space.sample())
            rewards.append(reward)
        assert len(rewards) == len(problem.space.axes)
        assert not any(rewards[:-1])
        assert rewards[-1] == toy_score(info["policy"])
        assert problem.projection.fits(problem.space.encode(info["policy"])[None])[0]


def test_actions_pick_options_evenly() -> None:
    problem = toy_problem("macs<=100%")
    env = automc.envs.CompressEnv(problem.projection, toy_score)
    for action, expected in ((1.0, problem.space.full), (0.0, np.zeros_like(problem.space.full))):
        env.reset()
        info: dict[str, object] = {}
        for _ in problem.space.axes:
            *_, info = env.step(np.array([action], dtype=np.float32))
        assert info["policy"] == problem.space.decode(expected)
