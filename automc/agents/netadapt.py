"""NetAdapt (Yang et al., ECCV 2018): a little less of the resource at a time, from whichever axis minds least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from automc.agents._base import Agent, Problem
from automc.agents._neighbours import neighbours
from automc.costs import METRICS
from automc.search_spaces import Policy


class NetAdaptSettings(BaseModel):
    """Settings of NetAdapt; the defaults of ``step`` and ``decay`` are those of its authors' code.

    An iteration takes as many evaluations as the space has axes that can save the step by themselves, so that few
    evaluations are over before the budget is reached; then fewer candidates and longer steps find more.

    Attributes:
        step: what the first iteration saves, as a share of the original's cost.
        decay: what each iteration saves, as a share of the one before. With the defaults all of them together save at
            most 62.5%; what is below is reached because each candidate gives up at least one option.
        candidates: how many axes have a candidate in an iteration; None for all, as published. Otherwise those with
            the least harm for what they save, where sensitivities are known; else those whose last candidate was the
            least behind the best of its iteration. Those that had none yet come first, the least cut of them first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: float = Field(default=0.025, gt=0, le=1)
    decay: float = Field(default=0.96, gt=0, le=1)
    candidates: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class _Candidate:
    """A policy that gives up some of one axis.

    Attributes:
        axis: which.
        index: option numbers (A,).
        saved: how much of the resource it saves.
        policy: the same as a policy.
    """

    axis: int
    index: np.ndarray
    saved: float
    policy: Policy


class NetAdapt(Agent):
    """Starts from the network as it is; each iteration saves a step, and its best candidate is the next start.

    A candidate lowers one axis, to the highest of its options that saves the step by the cost model's exact price;
    where no axis can by itself, each saves as much as it can. The resource is that of the budget that is most over;
    the last step ends at the budget, and there the search ends. A dropped block and fewer bits are steps like fewer
    channels. There is no short-term fine-tuning but what each evaluation does.

    Budgets of memory are refused: the operators at its peak often have no axis in common, and one axis saves nothing.

    As in the paper, the best score wins; its authors' code (github.com/denru01/netadapt, master.py) takes the smallest
    loss for what is saved. Not published: before each iteration its start is projected onto the budgets and proposed
    too, so that a search which ends early has a result.

    Where an iteration's scores are not all known yet when it is asked, it proposes the iteration's candidates
    projected onto the budgets, then random policies. What was learned alone decides which iteration it is in, never
    when it was learned.
    """

    settings: Any  # an instance of Settings
    Settings = NetAdaptSettings
    approaches: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = tuple(metric for metric in METRICS if metric != "memory")

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        model, limits = problem.projection.model, problem.projection.limits
        prices = model.prices(problem.space.full[None], limits)
        self._original = {metric: float(price[0]) for metric, price in prices.items()}
        self._merits: dict[Policy, float | None] = {}
        self._behind: dict[int, float] = {}  # by axis: how far its last candidate was behind the best one
        # of the original: what this iteration saves, and what it would save had none before it failed
        self._share = self._step = self.settings.step
        self._candidates: list[_Candidate] = []
        self._is_last = False  # whether this iteration goes down to the budget
        self._begin(problem.space.full)

    def _propose(self, number: int, attempt: int) -> Policy | None:
        while self._candidates and all(one.policy in self._merits for one in self._candidates):
            self._finish()
        for policy in (self._projected, *(one.policy for one in self._candidates)):
            if policy not in self._known:
                return policy
        if not self._candidates:
            return None
        for one in self._candidates:  # not all scores are known yet
            if (policy := self.problem.policy(one.index)) not in self._known:
                return policy
        return self.problem.sample(self.generator(number, attempt))

    def _learn(self, policy: Policy, score: float | None) -> None:
        self._merits[policy] = None if score is None else self.problem.merit(score)

    def _finish(self) -> None:
        """Ends an iteration: its best candidate is the next start; where all have failed, more has to be saved."""
        merits = {one.axis: self._merits[one.policy] for one in self._candidates}
        known = {axis: merit for axis, merit in merits.items() if merit is not None}
        self._step *= self.settings.decay
        if known:
            best = max(known.values())
            self._behind |= {axis: best - known[axis] if axis in known else np.inf for axis in merits}
            self._share = self._step
            self._begin(next(one.index for one in self._candidates if known.get(one.axis) == best))
        elif self._is_last:
            self._candidates = []
        else:
            self._share += self.settings.step
            self._begin(self._start)

    def _begin(self, start: np.ndarray) -> None:
        """Begins an iteration; it has no candidates where the budgets are kept, or nothing can be saved."""
        self._start, self._projected, self._candidates = start, self.problem.policy(start), []
        projection, space = self.problem.projection, self.problem.space
        if projection.fits(start[None])[0]:
            return
        limits, (lower, axes) = projection.limits, neighbours(space, start, lower=True)
        prices = projection.model.prices(np.concatenate([start[None], lower]), limits)
        metric = max(limits, key=lambda name: prices[name][0] / limits[name])
        price, below = prices[metric][0], prices[metric][1:]
        target = max(price - self._share * self._original[metric], limits[metric])
        self._is_last = bool(target == limits[metric])
        found, short = [], []
        for axis in np.unique(axes):
            rows = np.flatnonzero(axes == axis)
            enough = rows[below[rows] <= target]
            row = enough[-1] if len(enough) else rows[below[rows].argmin()]
            candidate = _Candidate(int(axis), lower[row], float(price - below[row]), space.decode(lower[row]))
            if len(enough):
                found.append(candidate)
            elif candidate.saved > 0:
                short.append(candidate)
        self._candidates = self._chosen(found or short)

    def _chosen(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Returns as many candidates as were asked for, in the order of the axes."""
        if self.settings.candidates is None:
            return candidates
        best = sorted(candidates, key=self._rank)[: self.settings.candidates]
        return sorted(best, key=lambda one: one.axis)

    def _rank(self, candidate: _Candidate) -> float:
        """Returns by what candidates are ordered, the smallest first."""
        if self.problem.sensitivities is not None:
            harms = self.problem.sensitivities.of(np.stack([self._start, candidate.index]))
            return float((harms[1] - harms[0]) / candidate.saved)
        if candidate.axis in self._behind:
            return self._behind[candidate.axis]
        kept = (candidate.index[candidate.axis] + 1) / (self._start[candidate.axis] + 1)
        return float(-kept)  # before all that were tried
