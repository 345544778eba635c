"""AMC's environment: which share of its channels each layer keeps (He et al., ECCV 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from automc.costs import Projection
from automc.costs.walk import Walk
from automc.envs._base import PolicyEnv
from automc.envs.decisions import Decision, decisions
from automc.envs.layers import layer_shares, producer, scaled
from automc.errors import ConfigError
from automc.search_spaces import Policy

_ROUNDING = 1 + 1e-12  # a walk adds in another order than the projection, which decides in the end


class PruneChannelsEnv(PolicyEnv):
    """Walks over the widths of a space, in the order in which the layers run.

    The action is the share of the channels that is kept; the option nearest to it is taken. Whatever the agent says,
    an option is open only if the policy with what was decided, this option, and every later width at its smallest
    keeps all budgets. Where no option is, the one that comes nearest to the budgets is.

    All other axes stay as they are. Where widths alone do not reach the budgets, the projection drops blocks or lowers
    bits once all widths were decided. It may also change a policy where a smaller width costs more, as it may in a
    measured table.

    The observation has AMC's eleven numbers: number of the layer; its outputs, inputs, height and width of what it
    reads, stride, kernel; its cost; cost that was saved so far; cost of the layers that follow; last action. Costs are
    shares of the original's, of the first budget's metric; of MACs where that is memory, of which layers have none of
    their own. What is known of a layer beforehand is scaled to [0, 1] over all of them. Of a group that several layers
    make the channels of, the first that runs counts.

    Args:
        projection: see `PolicyEnv`.
        reward: likewise.
    """

    features = ("layer", "n", "c", "h", "w", "stride", "k", "cost", "reduced", "rest", "last")

    def __init__(self, projection: Projection, reward: Callable[[Policy], float] | None = None) -> None:
        super().__init__(projection, reward)
        model, full = self.model, self.space.full
        metric = next((metric for metric in projection.limits if metric != "memory"), "macs")
        shares = layer_shares(model, metric)
        layers = [producer(model.graph, decision.unit) for decision in self.decisions]
        known = [
            (number, at.n, at.c, at.h, at.w, at.stride, at.k, shares.get(at, 0.0)) for number, at in enumerate(layers)
        ]
        rest = [sum(share for other, share in shares.items() if other.order > at.order) for at in layers]
        self._static = np.clip(np.column_stack([scaled(np.array(known, dtype=float)), np.zeros(len(rest)), rest]), 0, 1)
        self._static = np.concatenate([self._static, self._static[-1:]])  # after the last step, what was there before
        self._static[-1, -1] = 0.0
        self._full = Walk(model, metric, full)
        self._whole = self._full.price
        self._narrowest = np.where(self.space.is_width, 0, full)
        self._smallest = [(Walk(model, name, self._narrowest), limit) for name, limit in projection.limits.items()]

    def _decide_about(self) -> Sequence[Decision]:
        widths = [decision for decision in decisions(self.space) if decision.kind == "channels"]
        if not widths:
            raise ConfigError("the space has no widths, which is all that is decided here: set space.width to true")
        graph = self.model.graph
        widths.sort(key=lambda decision: producer(graph, decision.unit).order)
        return [replace(decision, positions=decision.values / decision.values[-1]) for decision in widths]

    def _observe(self) -> np.ndarray:
        seen = np.append(self._static[self._step], self._last)
        seen[8] = min(max(1 - self._full.price / self._whole, 0.0), 1.0)
        return seen.astype(np.float32)

    def _allowed(self, decision: Decision) -> np.ndarray:
        excess = np.zeros(len(decision.values))
        for walk, limit in self._smallest:
            np.maximum(excess, walk.options(decision.axis) / limit, out=excess)
        return excess <= max(_ROUNDING, excess.min())

    def _restart(self) -> None:
        super()._restart()
        self._full.restart(self._index)
        for walk, _ in self._smallest:
            walk.restart(self._narrowest)

    def _take(self, decision: Decision, option: int) -> None:
        self._full.move(decision.axis, option)
        for walk, _ in self._smallest:
            walk.move(decision.axis, option)
        super()._take(decision, option)
