"""The contract of an environment: an episode makes one policy, one decision a step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from automc.costs import Projection
from automc.envs.decisions import Decision
from automc.search_spaces import Policy


@dataclass(frozen=True)
class Episode:
    """One episode, as it led to a policy.

    Attributes:
        decisions: what was decided, step by step.
        observations: (T + 1, F) what was seen before each of the T steps, and after the last.
        actions: (T, 1) what was done, as positions in [0, 1].
    """

    decisions: tuple[Decision, ...]
    observations: np.ndarray
    actions: np.ndarray


class PolicyEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Makes a policy, one decision a step; the reward comes with the last.

    An action is a number in [0, 1]: each option of a decision has a position there, and the nearest is taken. The
    policy that the last step completes is brought onto the budgets, so it may differ from what was decided; `replay`
    returns the episode that leads to it and nowhere else, which is what an agent should learn from. Decisions inside a
    dropped block are left out, so episodes need not be equally long.

    ``info`` has after every step ``action``, the position that was taken, and after the last ``policy``, what was made.

    Args:
        projection: makes policies keep the budgets and prices them.
        reward: what a finished policy earns, as a rule the `Reward` of its score by an `automc.evaluation.Evaluator`.
            Without it, every reward is 0: whoever scores policies elsewhere takes them from ``info``.

    Raises:
        ConfigError: the space has nothing that this environment decides about.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own form
    features: ClassVar[tuple[str, ...]]
    """What the numbers of an observation are, each in [0, 1]."""

    def __init__(self, projection: Projection, reward: Callable[[Policy], float] | None = None) -> None:
        self.projection, self.model = projection, projection.model
        self.space = projection.model.space
        self.decisions = self._decide_about()
        self._reward = reward
        self._step, self._last = 0, 1.0
        self._index = self._start()
        self.action_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Box(0.0, 1.0, (len(self.features),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode."""
        super().reset(seed=seed)
        self._restart()
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Decides; returns observation, reward, whether the policy is complete, False, and ``info``.

        Raises:
            ValueError: the action is no finite number.
        """
        wanted = float(np.asarray(action).reshape(-1)[0])
        if not np.isfinite(wanted):
            raise ValueError(f"an action must be a number in [0, 1], not {wanted}")
        decision = self.decisions[self._step]
        allowed = np.where(self._allowed(decision), np.abs(decision.positions - np.clip(wanted, 0, 1)), np.inf)
        self._take(decision, int(allowed.argmin()))
        info: dict[str, Any] = {"action": self._last}
        if self._step < len(self.decisions):
            return self._observe(), 0.0, False, False, info
        info["policy"] = policy = self.space.decode(self._finish(self._index))
        return self._observe(), float(self._reward(policy)) if self._reward else 0.0, True, False, info

    def replay(self, policy: Policy) -> Episode:
        """Returns the episode in which every decision is as in a policy; the environment itself is reset by it."""
        index = self.space.encode(policy)
        self._restart()
        decisions, observations, actions = [], [self._observe()], []
        while self._step < len(self.decisions):
            decision = self.decisions[self._step]
            decisions.append(decision)
            self._take(decision, decision.chosen(index))
            observations.append(self._observe())
            actions.append([self._last])
        self._restart()
        return Episode(tuple(decisions), np.array(observations), np.array(actions, dtype=np.float32))

    @abstractmethod
    def _decide_about(self) -> Sequence[Decision]:
        """Returns the decisions, in the order in which they are taken."""

    @abstractmethod
    def _observe(self) -> np.ndarray:
        """Returns what is seen before the next step, or after the last: numbers in [0, 1], float32."""

    def _start(self) -> np.ndarray:
        """Returns the option numbers (A,) that an episode starts from; what nobody decides about stays so."""
        return self.space.full.copy()

    def _allowed(self, decision: Decision) -> np.ndarray:
        """Returns (options,) whether each option may be taken now; at least one may."""
        return np.ones(len(decision.positions), dtype=bool)

    def _finish(self, index: np.ndarray) -> np.ndarray:
        """Returns complete option numbers (A,) as ones that keep the budgets."""
        return self.projection.project(index)

    def _restart(self) -> None:
        self._index, self._step, self._last = self._start(), 0, 1.0

    def _take(self, decision: Decision, option: int) -> None:
        """Takes an option and goes to the next decision that is still open."""
        decision.choose(self._index, option)
        self._last = float(decision.positions[option])
        self._step += 1
        while self._step < len(self.decisions) and self._is_gone(self.decisions[self._step].axis):
            self._step += 1

    def _is_gone(self, axis: int) -> bool:
        owner = self.space.owners[axis]
        return owner >= 0 and self._index[owner] == 0
