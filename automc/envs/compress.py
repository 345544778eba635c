"""One decision a step, in the order of the space's axes; the score comes with the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from automc.costs import Projection
from automc.search_spaces import Policy

FEATURES = ("position", "depth", "options", "share", "inside", "left", "last")


class CompressEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """An episode chooses a policy, axis by axis.

    The action in [0, 1] picks one of the axis's options, evenly: 0 the smallest, 1 the network as it is. After the
    last axis the policy is projected onto the budgets and scored; that score is the only reward. ``info`` then has
    ``policy``, the one that was scored.

    The observation has seven numbers in [0, 1]: position of the axis; whether it drops a block; how many options it
    has, against the most; share of the budgeted cost that its smallest option saves, all else as it is; whether it
    lies in a block that was already dropped; share of that cost that the decisions so far leave; last action.

    Args:
        projection: makes policies keep the budgets and prices them.
        score: evaluates a policy; larger is better.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self, projection: Projection, score: Callable[[Policy], float]) -> None:
        self._projection, self._score = projection, score
        space, model = projection.model.space, projection.model
        self._metric = next(iter(projection.limits), model.metrics[0])
        self._full = float(model.prices(space.full[None])[self._metric][0])
        smallest = np.repeat(space.full[None], len(space.axes), axis=0)
        np.fill_diagonal(smallest, 0)
        self._share = np.clip(1 - model.prices(smallest)[self._metric] / self._full, 0, 1)
        self._choices = space.full
        self._last = 1.0
        self._step = 0
        self.action_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Box(0.0, 1.0, (len(FEATURES),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode with the network as it is."""
        super().reset(seed=seed)
        self._choices, self._last, self._step = self._projection.model.space.full.copy(), 1.0, 0
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Decides one axis; returns observation, reward, whether the policy is complete, False, and ``info``."""
        space = self._projection.model.space
        size = int(space.sizes[self._step])
        self._last = float(np.clip(np.asarray(action).reshape(-1)[0], 0, 1))
        self._choices[self._step] = min(int(self._last * size), size - 1)
        self._step += 1
        if self._step < len(space.axes):
            return self._observation(), 0.0, False, False, {}
        policy = space.decode(self._projection.project(self._choices))
        return self._observation(), float(self._score(policy)), True, False, {"policy": policy}

    def _observation(self) -> np.ndarray:
        model = self._projection.model
        space = model.space
        axis = min(self._step, len(space.axes) - 1)
        owner = space.owners[axis]
        left = float(model.prices(self._choices[None])[self._metric][0]) / self._full
        features = (
            self._step / len(space.axes),
            float(space.is_depth[axis]),
            space.sizes[axis] / space.sizes.max(),
            self._share[axis],
            float(owner >= 0 and self._choices[owner] == 0),
            min(max(left, 0.0), 1.0),
            self._last,
        )
        return np.array(features, dtype=np.float32)
