"""What every environment promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from automc.costs import Projection
from automc.envs import PolicyEnv
from automc.search_spaces import Policy
from automc.testing.problems import toy_problem, toy_score

_EPISODES = 10


class EnvSuite(ABC):
    """Subclass it as ``TestMyEnv`` and give `make`; pytest runs the rest.

    Example::

        class TestMyEnv(EnvSuite):
            def make(self, projection, reward):
                return MyEnv(projection, reward)
    """

    @abstractmethod
    def make(self, projection: Projection, reward: Callable[[Policy], float]) -> PolicyEnv:
        """Returns the environment under test."""

    @pytest.fixture
    def env(self) -> PolicyEnv:
        """The environment on a problem with widths, blocks and int8, under a budget that most policies exceed."""
        return self.make(toy_problem("macs<=40%").projection, toy_score)

    def run(self, env: PolicyEnv) -> tuple[list[float], Policy]:
        """Takes random actions to an episode's end; returns rewards and the policy."""
        env.reset()
        rewards: list[float] = []
        while True:
            _, reward, done, _, info = env.step(env.action_space.sample())
            rewards.append(reward)
            if done:
                return rewards, info["policy"]

    def test_both_checkers_accept_it(self, env: PolicyEnv) -> None:
        """Gymnasium's and Stable-Baselines3's."""
        check_env(env, skip_render_check=True)
        check_env_sb3(env)

    @pytest.mark.parametrize("budgets", [("macs<=40%",), ("params<=30%", "macs<=60%"), ("size<=40KB",)])
    def test_an_episode_ends_with_a_policy_on_the_budgets(self, budgets: tuple[str, ...]) -> None:
        """Exactly, whatever was done; and the reward is the last step's."""
        env = self.make(toy_problem(*budgets).projection, toy_score)
        env.action_space.seed(0)
        for _ in range(_EPISODES):
            rewards, policy = self.run(env)
            assert not any(rewards[:-1])
            assert rewards[-1] == toy_score(policy)
            assert env.projection.fits(env.space.encode(policy)[None])[0]

    def test_replaying_a_policy_is_taking_its_actions(self, env: PolicyEnv) -> None:
        """What was scored is what its own episode makes, seen alike at every step."""
        env.action_space.seed(1)
        for _ in range(_EPISODES):
            _, policy = self.run(env)
            episode = env.replay(policy)
            observation, _ = env.reset()
            for step, (action, expected) in enumerate(zip(episode.actions, episode.observations[1:], strict=True)):
                np.testing.assert_array_equal(observation, episode.observations[step])
                observation, _, done, _, info = env.step(action)
                np.testing.assert_array_equal(observation, expected)
                assert done == (step == len(episode.actions) - 1)
            assert info["policy"] == policy

    def test_the_same_actions_make_the_same_policy(self, env: PolicyEnv) -> None:
        """Nothing is left of the episode before."""
        policies = []
        for _ in range(2):
            env.action_space.seed(2)
            policies.append([self.run(env)[1] for _ in range(3)])
        assert policies[0] == policies[1]

    @pytest.mark.parametrize("action", [np.nan, np.inf])
    def test_an_action_that_is_no_number_is_refused(self, env: PolicyEnv, action: float) -> None:
        """A network that diverged is found out at once."""
        env.reset()
        with pytest.raises(ValueError, match="must be"):
            env.step(np.array([action], dtype=np.float32))
