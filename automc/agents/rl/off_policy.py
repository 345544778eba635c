"""Agents that learn from a replay buffer: DDPG, TD3, SAC.

Stable-Baselines3's own loop adds transitions before an episode's reward exists, and trains between steps; here whole
episodes are added when their score is known, and training follows, as AMC and HAQ have it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel
from scipy.special import ndtr, ndtri
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import update_learning_rate

from automc.agents.rl._base import RLAgent
from automc.agents.rl.settings import AMCSettings, HAQSettings, OffPolicySettings
from automc.envs import Episode

_FOLLOW = 0.5  # how fast AMC's and HAQ's moving average of rewards follows
_LOSSES = {"critic_loss": "train/critic_loss", "actor_loss": "train/actor_loss"}


class _Replay(ReplayBuffer):
    """A replay buffer that gives out rewards relative to others.

    Args:
        scaling: see `OffPolicySettings`.
    """

    def __init__(self, *args: Any, scaling: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._moving, self.mean = scaling == "moving", np.nan

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """Returns transitions, drawn with replacement."""
        batch = super().sample(batch_size, env)
        if self._moving:
            mean, spread = float(batch.rewards.mean()), 1.0
            self.mean = mean if np.isnan(self.mean) else self.mean + _FOLLOW * (mean - self.mean)
        else:
            stored = self.rewards[: self.size()]
            self.mean, spread = float(stored.mean()), max(float(stored.std()), 1e-9)
        return batch._replace(rewards=(batch.rewards - self.mean) / spread)


class OffPolicyAgent(RLAgent):
    """Learns from all recent episodes, some updates after each."""

    Settings: ClassVar[type[BaseModel]] = OffPolicySettings
    algorithm: ClassVar[type[OffPolicyAlgorithm]]
    options: ClassVar[dict[str, Any]] = {}
    watched: ClassVar[dict[str, str]] = _LOSSES

    def _make(self) -> OffPolicyAlgorithm:
        chosen = self.settings
        self._steps: list[int] = []  # of each episode so far
        rates = (chosen.actor_rate, chosen.critic_rate)
        algorithm = type(self.algorithm.__name__, (_TwoRates, self.algorithm), {"rates": rates})
        learner: OffPolicyAlgorithm = algorithm(
            "MlpPolicy",
            self.env,
            buffer_size=chosen.memory * len(self.env.decisions),
            batch_size=chosen.batch,
            tau=chosen.tau,
            gamma=chosen.gamma,
            policy_kwargs={"net_arch": list(chosen.layers)},
            replay_buffer_class=_Replay,
            replay_buffer_kwargs={"scaling": chosen.scaling, "handle_timeout_termination": False},
            device="cpu",
            **self.options,
        )
        return learner

    def _exploring(self, number: int) -> dict[str, float]:
        """Returns how widely proposal ``number`` explores."""
        return {"noise": self._noise(number)}

    def _noise(self, number: int) -> float:
        return float(self.settings.noise * self.settings.decay ** (number - self.settings.warmup))

    def _act(self, observation: np.ndarray, generator: np.random.Generator, number: int, wider: float) -> float:
        mean, noise = self._best(observation), self._noise(number) + wider
        low, high = ndtr((np.array([0.0, 1.0]) - mean) / max(noise, 1e-6))
        return float(np.clip(mean + noise * ndtri(low + generator.random() * (high - low)), 0, 1))

    def _best(self, observation: np.ndarray) -> float:
        """Returns the actor's action in [0, 1]."""
        with torch.no_grad():
            action = self.learner.policy(torch.from_numpy(observation)[None], deterministic=True)
        return (float(action) + 1) / 2

    def _store(self, episode: Episode, reward: float) -> None:
        last = len(episode.actions) - 1
        memory: _Replay = self.learner.replay_buffer
        for step, action in enumerate(episode.actions):
            seen, next_seen = episode.observations[step], episode.observations[step + 1]
            earned = 0.0 if self.settings.credit == "last" and step < last else reward
            done = step == last or self.settings.credit == "return"
            memory.add(seen, next_seen, 2 * action - 1, np.array(earned), np.array(done), [{}])
        self._steps.append(len(episode.actions))

    def _train(self) -> dict[str, float]:
        scored = len(self.lessons) + 1
        if scored <= self.settings.warmup:
            return {}
        figures = self._exploring(scored)
        if updates := self.settings.updates * self._steps[-1]:
            self.learner.train(gradient_steps=updates, batch_size=self.settings.batch)
            logged = self.learner.logger.name_to_value
            figures |= {name: float(logged[key]) for name, key in self.watched.items() if key in logged}
        return figures

    def _oldest(self, state: dict[str, np.ndarray]) -> int:
        memory, steps = self.learner.replay_buffer, state["lessons/steps"]
        kept = np.cumsum(steps[::-1])[::-1]  # steps from each lesson to the last
        oldest = max(int(np.count_nonzero(kept >= memory.buffer_size)) - 1, 0)
        self._steps = steps[:oldest].tolist()
        turns, memory.pos = divmod(sum(self._steps), memory.buffer_size)  # batches depend on where in it episodes lie
        memory.full = turns > 0
        return oldest

    def state(self) -> dict[str, np.ndarray]:
        """Returns what `RLAgent.state` does, the mean reward, and how long episodes were."""
        return super().state() | {
            "mean": np.array(self.learner.replay_buffer.mean),
            "lessons/steps": np.array(self._steps, dtype=np.int64),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Brings it back."""
        super().restore(state)
        self.learner.replay_buffer.mean = float(state["mean"])


class _TwoRates:
    """Gives the actor another learning rate than the critic; Stable-Baselines3 has one for both."""

    rates: tuple[float, float]
    actor: Any

    def _update_learning_rate(self, optimizers: list[torch.optim.Optimizer]) -> None:
        for optimizer in optimizers:
            update_learning_rate(optimizer, self.rates[optimizer is not self.actor.optimizer])


class DDPGAgent(OffPolicyAgent):
    """Deep deterministic policy gradient (Lillicrap et al., ICLR 2016)."""

    algorithm = DDPG


class AMC(DDPGAgent):
    """AMC: DDPG that decides about channels, layer by layer."""

    Settings = AMCSettings


class HAQ(DDPGAgent):
    """HAQ: DDPG that decides about bits of weights and activations, layer by layer."""

    Settings = HAQSettings


class TD3Agent(OffPolicyAgent):
    """Twin delayed DDPG (Fujimoto et al., ICML 2018)."""

    algorithm = TD3


class SACAgent(OffPolicyAgent):
    """Soft actor-critic (Haarnoja et al., ICML 2018): its noise is its policy's own, and so is its decay."""

    algorithm = SAC
    options: ClassVar[dict[str, Any]] = {"ent_coef": "auto_0.1"}  # rewards here are about one in size
    watched: ClassVar[dict[str, str]] = _LOSSES | {"entropy_weight": "train/ent_coef"}

    def _act(self, observation: np.ndarray, generator: np.random.Generator, number: int, wider: float) -> float:
        with torch.no_grad():
            seen = torch.from_numpy(observation)[None]
            mean, log_std, _ = self.learner.policy.actor.get_action_dist_params(seen)
        noise = float(log_std.exp()) + wider
        return (float(np.tanh(float(mean) + noise * generator.standard_normal())) + 1) / 2

    def _exploring(self, number: int) -> dict[str, float]:
        return {}
