"""What agents that learn by reinforcement have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box
from pydantic import BaseModel
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger

from automc.agents._base import Agent, Lesson, Problem
from automc.agents.rl.seeded import seeded
from automc.agents.rl.settings import RLSettings
from automc.agents.rl.state import learner_state, restore_learner
from automc.envs import ENVS, Episode, Reward
from automc.errors import ConfigError
from automc.search_spaces import Policy

_WIDER = 0.02
"""How much wider noise becomes with each attempt at one proposal, so that what converged still finds new policies."""


class RLAgent(Agent):
    """Proposes what its networks do in an environment, and trains them with what that earned.

    Environments are rolled out without a reward; it comes when the score does. What is learned is the episode that
    leads to the policy that was scored (`PolicyEnv.replay`): bounds, rounding and projection are part of it, and being
    told policies and scores again is enough to learn the same again.

    Args:
        problem: what to search.
        seed: seeds all random choices.
        settings: of the agent; its own defaults if None.

    Raises:
        ConfigError: the space has nothing that the environment decides about, its actions are not one number in
            [0, 1], or the reward is not defined for this problem.
    """

    Settings: ClassVar[type[BaseModel]] = RLSettings
    settings: Any  # an instance of Settings
    learner: Any  # Stable-Baselines3's algorithm, whose buffers and policies its base classes do not name

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        self.env = ENVS[self.settings.env](problem.projection)
        if self.env.action_space != Box(0.0, 1.0, (1,), np.float32):
            raise ConfigError(
                f"agent_args.env: {self.settings.env} asks for {self.env.action_space}, this agent gives one number in "
                f"[0, 1]; choose another environment: {', '.join(ENVS)}"
            )
        self._reward = Reward(
            self.settings.reward,
            problem.projection,
            problem.original_score,
            problem.higher_is_better,
            **self.settings.reward_args,
        )
        with seeded(seed):
            self.learner = self._make()
        self.learner.set_logger(Logger(None, []))
        self._rows: list[np.ndarray] = []  # the lessons' policies as option numbers, those that `state` has met so far

    def _propose(self, number: int, attempt: int) -> Policy | None:
        generator = self.generator(number, attempt)
        if number < self.settings.warmup and self.settings.explore == "samples":
            return self.problem.sample(generator)
        observation, _ = self.env.reset()
        done, info = False, dict[str, Any]()
        with seeded(self.seed, number, attempt):
            while not done:
                if number < self.settings.warmup:
                    action = generator.random()
                else:
                    action = self._act(observation, generator, number, _WIDER * attempt)
                observation, _, done, _, info = self.env.step(np.array([action], dtype=np.float32))
        policy: Policy = info["policy"]
        return policy

    def _learn(self, policy: Policy, score: float | None) -> None:
        """Trains on one more episode; a failed evaluation has no reward, and says only what not to propose."""
        if score is None:
            return
        reward = self._reward(policy, score)
        with seeded(self.seed, len(self.lessons)):
            self._store(self.env.replay(policy), reward)
            figures = self._train()
        self.learner.logger.dump()  # forgets what it was told, so that the next lesson has figures of its own
        self.lessons.append(Lesson(policy, reward, figures))

    def state(self) -> dict[str, np.ndarray]:
        """Returns weights, optimisers and lessons, from which what is stored of episodes follows.

        Random numbers follow from the seed and the number of lessons.
        """
        few = np.min_scalar_type(int(self.problem.space.sizes.max()))
        self._rows += [self.problem.space.encode(one.policy).astype(few) for one in self.lessons[len(self._rows) :]]
        names = sorted({name for lesson in self.lessons for name in lesson.figures})
        figures = [[lesson.figures.get(name, np.nan) for name in names] for lesson in self.lessons]
        return learner_state(self.learner) | {
            "lessons/policies": np.array(self._rows),
            "lessons/rewards": np.array([lesson.reward for lesson in self.lessons]),
            **{f"figures/{name}": values for name, values in zip(names, np.array(figures).T, strict=True)},
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Brings back what an agent of the same problem, seed and settings had learned, by its `state`."""
        restore_learner(self.learner, state)
        columns = {name.removeprefix("figures/"): array for name, array in state.items() if name.startswith("figures/")}
        self._rows = list(state["lessons/policies"])
        oldest = self._oldest(state)
        for row, (index, reward) in enumerate(zip(self._rows, state["lessons/rewards"].tolist(), strict=True)):
            policy = self.problem.space.decode(index)
            figures = {name: float(array[row]) for name, array in columns.items() if np.isfinite(array[row])}
            if row >= oldest:
                self._store(self.env.replay(policy), reward)
            self.lessons.append(Lesson(policy, reward, figures))

    @abstractmethod
    def _make(self) -> BaseAlgorithm:
        """Returns Stable-Baselines3's algorithm."""

    @abstractmethod
    def _act(self, observation: np.ndarray, generator: np.random.Generator, number: int, wider: float) -> float:
        """Returns the action in [0, 1] for proposal ``number``, with noise that is so much wider than usual."""

    @abstractmethod
    def _store(self, episode: Episode, reward: float) -> None:
        """Keeps one more episode to learn from."""

    @abstractmethod
    def _oldest(self, state: dict[str, np.ndarray]) -> int:
        """Returns the first lesson of a state whose episode is still stored, and makes ready for storing it again."""

    @abstractmethod
    def _train(self) -> dict[str, float]:
        """Learns from what is stored; returns figures to watch."""
