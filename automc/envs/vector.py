"""Many environments as one for Stable-Baselines3, whose finished policies are scored together.

Importing `automc.envs` does not import this module, which needs Stable-Baselines3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from automc.envs._base import PolicyEnv, finite
from automc.errors import ConfigError
from automc.search_spaces import Policy


class PolicyVecEnv(DummyVecEnv):
    """Steps environments one after the other, which takes little, and scores what they finish at once.

    After each step the policies that it completed, if any, are scored by one call, so that whoever scores can do so
    in parallel. Episodes of one space can differ in length, since what lies in a dropped block is not asked for. Then
    environments finish at different steps and fewer policies are scored together; those that are done begin their
    next episode and do not wait for the others, since steps in which nothing is decided would be transitions to learn
    from. Stable-Baselines3 expects no more than that each environment says itself when it is done.

    ``info`` has, beside what the environments put there, ``score`` after an episode's last step. A scorer's error is
    passed on as it is; the next episodes have begun by then, `reset` begins anew.

    Args:
        envs: `PolicyEnv`, wrapped or not, without rewards of their own.
        score: scores policies, as many as finish in one step; called only with some.
        reward: turns each into a reward, as a rule a `Reward`; without it the score is the reward.

    Raises:
        ConfigError: there is no environment, one is there twice, has a reward or is none of ours, or they differ.
    """

    def __init__(
        self,
        envs: Sequence[gymnasium.Env[np.ndarray, np.ndarray]],
        score: Callable[[Sequence[Policy]], Iterable[float]],
        reward: Callable[[Policy, float], float] | None = None,
    ) -> None:
        bases = [env.unwrapped for env in envs]
        if not bases or len({id(base) for base in bases}) < len(bases):
            raise ConfigError("a vector needs at least one environment, and each must be made anew")
        for base in bases:
            if not isinstance(base, PolicyEnv):
                raise ConfigError(f"{type(base).__name__} makes no policies; take one of automc.envs")
            if base.reward is not None:
                raise ConfigError("environments of a vector have no reward of their own; give it to the vector")
            if type(base) is not type(bases[0]) or base.space != bases[0].space:
                raise ConfigError("environments of a vector must be of one kind, with one search space")
        self._score, self._reward = score, reward
        super().__init__([partial(_itself, env) for env in envs])

    def step_wait(self) -> VecEnvStepReturn:
        """Returns observations, rewards, whether each episode ended, and what else there is to know.

        Raises:
            ValueError: there are more or fewer scores than policies, or one is no finite number.
        """
        observations, rewards, dones, infos = super().step_wait()
        done = np.flatnonzero(dones)
        if len(done):
            policies = [infos[number]["policy"] for number in done]
            scores = list(self._score(policies))
            if len(scores) != len(policies):
                raise ValueError(f"{len(policies)} policies were to be scored, and there are {len(scores)} scores")
            for number, policy, score in zip(done, policies, scores, strict=True):
                infos[number]["score"] = finite("a score", score)
                earned = score if self._reward is None else self._reward(policy, score)
                rewards[number] = finite("a reward", earned)
        return observations, rewards, dones, infos


def _itself(env: gymnasium.Env[np.ndarray, np.ndarray]) -> gymnasium.Env[np.ndarray, np.ndarray]:
    return env
