"""Settings of the agents that learn by reinforcement, with their sources."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from automc.envs import ENVS, REWARDS
from automc.errors import nearest

_PREFIX, _SUFFIX = "automc/", "-v0"


class RLSettings(BaseModel):
    """What all of them have.

    Attributes:
        env: the environment, with or without ``automc/`` and ``-v0``.
        reward: name of the reward.
        reward_args: its settings.
        layers: units of each hidden layer of every network.
        warmup: episodes before the networks decide.
        explore: what these are: ``samples``, those that ``random`` proposes with the same seed, or episodes of random
            ``actions``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: str = "automc/Compress-v0"
    reward: str = "-error"
    reward_args: dict[str, Any] = Field(default_factory=dict)
    layers: tuple[int, ...] = (64, 64)
    warmup: int = Field(default=0, ge=0)
    explore: Literal["samples", "actions"] = "samples"

    @field_validator("env")
    @classmethod
    def _is_an_environment(cls, value: str) -> str:
        name = value if value in ENVS else f"{_PREFIX}{value}{_SUFFIX}"
        if name not in ENVS:
            raise ValueError(f"unknown environment '{value}'{nearest(name, ENVS)}")
        return name

    @field_validator("reward")
    @classmethod
    def _is_a_reward(cls, value: str) -> str:
        if value not in REWARDS:
            raise ValueError(f"unknown reward '{value}'{nearest(value, REWARDS)}")
        return value


class OffPolicySettings(RLSettings):
    """What agents with a replay buffer have besides.

    Attributes:
        actor_rate: learning rate of the actor (Adam).
        critic_rate: that of the critic.
        tau: share of the online networks in each update of the target networks.
        batch: transitions in one update.
        memory: episodes that the replay buffer holds.
        updates: updates for each step of an episode; 0 freezes the networks.
        noise: standard deviation of the noise on actions after the warm-up, truncated to [0, 1].
        decay: what it is multiplied by after each episode.
        credit: what the critic learns a step to be worth. ``return``: what its episode earned, without bootstrapping,
            since nothing is earned before the end. ``last``: bootstrapped from the end. ``every``: bootstrapped, the
            episode's reward given to each of its steps.
        scaling: what batches' rewards are relative to. ``standard``: mean and standard deviation of all that are
            stored. ``moving``: a moving average of batches' means.
        gamma: discount, where values are bootstrapped.
    """

    warmup: int = Field(default=50, ge=0)
    actor_rate: float = Field(default=1e-3, gt=0)
    critic_rate: float = Field(default=1e-3, gt=0)
    tau: float = Field(default=0.01, gt=0, le=1)
    batch: int = Field(default=64, ge=1)
    memory: int = Field(default=50, ge=1)
    updates: int = Field(default=1, ge=0)
    noise: float = Field(default=0.3, ge=0)
    decay: float = Field(default=0.99, gt=0, le=1)
    credit: Literal["return", "last", "every"] = "return"
    scaling: Literal["standard", "moving"] = "standard"
    gamma: float = Field(default=1.0, ge=0, le=1)


class AMCSettings(OffPolicySettings):
    """AMC's (He et al., ECCV 2018; ``amc_search.py`` of its released code)."""

    env: str = "automc/PruneChannels-v0"
    layers: tuple[int, ...] = (300, 300)
    warmup: int = Field(default=100, ge=0)
    explore: Literal["samples", "actions"] = "actions"
    actor_rate: float = Field(default=1e-4, gt=0)
    noise: float = Field(default=0.5, ge=0)
    decay: float = Field(default=0.95, gt=0, le=1)
    memory: int = Field(default=100, ge=1)
    credit: Literal["return", "last", "every"] = "every"
    scaling: Literal["standard", "moving"] = "moving"


class HAQSettings(AMCSettings):
    """HAQ's (Wang et al., CVPR 2019; ``rl_quantize.py`` of its released code); the others are AMC's."""

    env: str = "automc/AssignBits-v0"
    reward: str = "haq"
    warmup: int = Field(default=20, ge=0)
    memory: int = Field(default=128, ge=1)
    decay: float = Field(default=0.99, gt=0, le=1)


class PPOSettings(RLSettings):
    """What PPO has besides.

    Attributes:
        rate: learning rate of both networks (Adam).
        episodes: episodes between two updates.
        epochs: passes over these in one update; 0 freezes the networks.
        batch: steps in one batch.
        clip: how far the ratio of new to old probabilities may go from one.
        gae: lambda of the generalized advantage estimate; 1 for an episode's return less the value.
        entropy: weight of the policy's entropy.
        noise: standard deviation of actions in the beginning.
    """

    rate: float = Field(default=1e-3, gt=0)
    episodes: int = Field(default=10, ge=1)
    epochs: int = Field(default=10, ge=0)
    batch: int = Field(default=64, ge=2)
    clip: float = Field(default=0.2, gt=0)
    gae: float = Field(default=1.0, ge=0, le=1)
    entropy: float = Field(default=0.0, ge=0)
    noise: float = Field(default=0.3, gt=0)
