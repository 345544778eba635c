"""The contract of an environment: an episode makes one policy, one decision a step."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from automc.costs import Projection
from automc.envs.decisions import Decision
from automc.errors import ConfigError
from automc.search_spaces import Policy


def finite(what: str, value: Any) -> float:
    """Returns a value as a float; raises ValueError, beginning with ``what``, unless it is a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a number, not {' '.join(str(value).split())[:40]}")
    return number


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
            Without it, every reward is 0: whoever scores policies elsewhere takes them from ``info``. What it raises
            is passed on; the episode is over then.

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
        if not self.decisions:
            raise ConfigError(f"{type(self).__name__} finds nothing to decide in the search space; offer more in it")
        self.reward = reward
        self._step, self._last, self._running = 0, 1.0, False
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

        An action below 0 or above 1 is taken as 0 or 1.

        Raises:
            ResetNeeded: no episode has begun, or it has ended.
            ValueError: the action is not one finite number, and the episode goes on with another; or the reward is
                none, and the episode is over.
        """
        if not self._running:
            raise ResetNeeded("no episode is under way: call reset() before the first step and after the last")
        if np.size(action) != 1:
            raise ValueError(f"an action must be one number in [0, 1], not of shape {np.shape(action)}")
        wanted = finite("an action", np.asarray(action).item())
        decision = self.decisions[self._step]
        allowed = np.where(self._allowed(decision), np.abs(decision.positions - np.clip(wanted, 0, 1)), np.inf)
        self._take(decision, int(allowed.argmin()))
        info: dict[str, Any] = {"action": self._last}
        if self._step < len(self.decisions):
            return self._observe(), 0.0, False, False, info
        self._running = False
        info["policy"] = policy = self.space.decode(self._finish(self._index))
        reward = finite("a reward", self.reward(policy)) if self.reward else 0.0
        return self._observe(), reward, True, False, info

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
        self._index, self._step, self._last, self._running = self._start(), 0, 1.0, True

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
