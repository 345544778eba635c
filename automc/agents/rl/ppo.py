"""Proximal policy optimization (Schulman et al., 2017)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import BaseModel
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer

from automc.agents.rl._base import RLAgent
from automc.agents.rl.settings import PPOSettings
from automc.envs import Episode


class PPOAgent(RLAgent):
    """Learns from the latest episodes, all proposed by the same networks, and forgets them."""

    Settings: ClassVar[type[BaseModel]] = PPOSettings

    def _make(self) -> PPO:
        chosen = self.settings
        self._waiting: list[tuple[Episode, float]] = []
        return PPO(
            "MlpPolicy",
            self.env,
            learning_rate=chosen.rate,
            n_steps=chosen.batch,  # not used: episodes are as long as they are
            batch_size=chosen.batch,
            n_epochs=max(chosen.epochs, 1),
            gamma=1.0,
            gae_lambda=chosen.gae,
            clip_range=chosen.clip,
            ent_coef=chosen.entropy,
            policy_kwargs={"net_arch": list(chosen.layers), "log_std_init": float(np.log(2 * chosen.noise))},
            device="cpu",
        )

    def _act(self, observation: np.ndarray, generator: np.random.Generator, number: int, wider: float) -> float:
        with torch.no_grad():
            normal = self.learner.policy.get_distribution(torch.from_numpy(observation)[None]).distribution
        action = float(normal.mean) + (float(normal.stddev) + wider) * generator.standard_normal()
        return float(np.clip((action + 1) / 2, 0, 1))

    def _store(self, episode: Episode, reward: float) -> None:
        self._waiting.append((episode, reward))

    def _train(self) -> dict[str, float]:
        learner: PPO = self.learner
        figures = {"noise": float(learner.policy.log_std.detach().exp().mean()) / 2}
        if (len(self.lessons) + 1) % self.settings.episodes:
            return figures
        if self.settings.epochs:
            learner.rollout_buffer = self._rollout(learner)
            learner.train()
            logged = learner.logger.name_to_value
            figures["critic_loss"] = float(logged["train/value_loss"])
            figures["actor_loss"] = float(logged["train/policy_gradient_loss"])
        self._waiting.clear()
        return figures

    def _oldest(self, state: dict[str, np.ndarray]) -> int:
        lessons, episodes = len(state["lessons/rewards"]), self.settings.episodes
        return int(lessons // episodes * episodes)  # the latest update forgot those before it

    def _rollout(self, learner: PPO) -> RolloutBuffer:
        """Returns the waiting episodes; rewards are relative to mean and standard deviation of all so far."""
        steps = sum(len(episode.actions) for episode, _ in self._waiting)
        rollout = RolloutBuffer(
            steps, self.env.observation_space, self.env.action_space, "cpu", gae_lambda=self.settings.gae, gamma=1.0
        )
        rewards = np.array([*(lesson.reward for lesson in self.lessons), self._waiting[-1][1]])
        mean, spread = float(rewards.mean()), max(float(rewards.std()), 1e-9)
        for episode, reward in self._waiting:
            seen, actions = torch.from_numpy(episode.observations[:-1]), torch.from_numpy(2 * episode.actions - 1)
            with torch.no_grad():
                values, log_probs, _ = learner.policy.evaluate_actions(seen, actions)
            for step in range(len(actions)):
                earned = np.array((reward - mean) / spread if step == len(actions) - 1 else 0.0)
                started = np.array(step == 0)
                rollout.add(seen[step].numpy(), actions[step].numpy(), earned, started, values[step], log_probs[step])
        rollout.compute_returns_and_advantage(torch.zeros(1), np.array([True]))
        return rollout
