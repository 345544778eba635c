"""The contract of an agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from automc.costs import METRICS, Projection
from automc.search_spaces import Policy, SearchSpace
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS
from automc.sensitivities import Sensitivities

ATTEMPTS = 20
"""How often an agent tries for a policy that it has not learned yet."""


@dataclass(frozen=True)
class Problem:
    """What an agent searches.

    Attributes:
        space: the policies there are.
        projection: makes any of them keep the budgets, and prices them.
        higher_is_better: the direction of the score.
        original_score: the original network's score; None where nobody knows it.
        sensitivities: how much each option hurts by itself; there for agents that need them, else perhaps None.
    """

    space: SearchSpace
    projection: Projection
    higher_is_better: bool = True
    original_score: float | None = None
    sensitivities: Sensitivities | None = None

    def merit(self, score: float) -> float:
        """Returns the score, negated where lower is better: of two merits the larger is the better one."""
        return score if self.higher_is_better else -score

    def policy(self, index: np.ndarray, lower_bits: bool = True) -> Policy:
        """Returns the policy nearest to option numbers (A,) that keeps the budgets."""
        return self.space.decode(self.projection.project(index, lower_bits))

    def sample(self, generator: np.random.Generator) -> Policy:
        """Returns a random policy that keeps the budgets.

        For each kind of choice (widths, blocks, bits) a share is drawn first: so many of its axes stay as they are, the
        others take any option. With the same share always, hardly any policy would leave most blocks in place.
        """
        space = self.space
        index = generator.integers(0, space.sizes)
        for kind in (space.is_width, space.is_depth, space.is_bits):
            stays = generator.random(len(space.axes)) < generator.random()
            index = np.where(kind & stays, space.full, index)
        return self.policy(index)

    def uniform(self) -> Policy:
        """Returns the policy that shrinks all widths alike, in float, until the budgets are kept."""
        return self.policy(self.space.full, lower_bits=False)

    def uniform_int8(self) -> Policy | None:
        """Returns the same with all layers in int8 that can; None where the space has no such choice."""
        return self.policy(self._few_bits()) if self.space.is_bits.any() else None

    def first(self, number: int, attempt: int) -> Policy | None:
        """Returns what agents that learn from samples propose before these: the uniform policies; None after them."""
        if attempt or number > 1:
            return None
        return self.uniform_int8() if number else self.uniform()

    def int8(self) -> Policy | None:
        """Returns the network as it is with all layers that can run in int8 in it, whether or not that is enough."""
        return self.space.decode(self._few_bits()) if self.space.is_bits.any() else None

    def uniform_bits(self) -> Policy | None:
        """Returns the network with the same bits for weights and activations of all layers, the most that fit.

        It is what HAQ (Wang et al., CVPR 2019) compares itself with. A layer that lacks these bits has the most below
        them that it can have, or its fewest. Where no bits are few enough, the fewest are projected onto the budgets.
        None where the space has no bits to choose from but int8 and float: `uniform_int8` is the same there.
        """
        axes = [axis.options if axis.field == "bits" else () for axis in self.space.axes]
        pairs = {pair for options in axes for pair in options}
        if pairs <= {INT8_BITS, (FLOAT_BITS, FLOAT_BITS)}:
            return None
        numbers = sorted({bits for pair in pairs for bits in pair}, reverse=True)
        alike = np.repeat(self.space.full[None], len(numbers), axis=0)
        for row, bits in zip(alike, numbers, strict=True):
            for axis in np.flatnonzero(self.space.is_bits):
                options = axes[axis]
                row[axis] = max((number for number, pair in enumerate(options) if max(pair) <= bits), default=0)
        fits = self.projection.fits(alike)
        return self.policy(alike[fits.argmax() if fits.any() else -1])

    def _few_bits(self) -> np.ndarray:
        axes = [axis.options if axis.field == "bits" else () for axis in self.space.axes]
        int8 = np.array([options.index(INT8_BITS) if INT8_BITS in options else 0 for options in axes])
        return np.where(self.space.is_bits, int8, self.space.full)


@dataclass(frozen=True)
class Lesson:
    """What an agent took from one score, for those who watch it learn.

    Attributes:
        policy: the policy that was scored.
        reward: what it earned.
        figures: what else there is to see, by name, such as ``noise`` and ``critic_loss``.
    """

    policy: Policy
    reward: float
    figures: dict[str, float]


class NoSettings(BaseModel):
    """The settings of an agent that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Agent(ABC):
    """Proposes policies and learns from their scores.

    Whoever runs a search calls `propose` and, once the policy was evaluated, `learn`, in any order that keeps the
    two of one policy in turn; several proposals may be under way. An agent knows nothing of parallelism, journals
    or models. It keeps two promises, which `automc.testing.AgentSuite` checks:

    - every proposal keeps the problem's budgets;
    - a policy whose evaluation failed is never proposed again;
    - its next proposal depends on the seed, on what was proposed before and on what `learn` was told, and on nothing
      else: an agent that skips the same proposals and is told the same goes on as the first would have.

    Args:
        problem: what to search.
        seed: seeds all random choices.
        settings: an instance of `Settings`; its defaults if None.

    Attributes:
        Settings: what can be set, each with a default: a pydantic model that forbids other keys, and is frozen.
        settings: as they were set.
        lessons: what it took from each score, in order; empty where there is nothing to watch.
        changes: of the outputs under what it learned, as far as they are known.
        reference: whether it proposes what others are compared with, whatever the budgets; the first promise is not
            its own then.
        float_only: whether all its policies keep every layer in float.
        proposals: how many proposals it has at most; None for as many as one asks for.
        learns: whether its proposals depend on scores. Those of one that does not are the same however many are under
            way; else how many are under way when it proposes is part of what they depend on.
        metrics: those whose budgets it can keep.
        needs_sensitivities: whether it searches only problems whose `Problem.sensitivities` are known.
        approaches: whether it comes from above: what it proposes on its way may be over the budgets, and is no result.
    """

    Settings: ClassVar[type[BaseModel]] = NoSettings
    proposals: ClassVar[int | None] = None
    reference: ClassVar[bool] = False
    float_only: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = METRICS
    needs_sensitivities: ClassVar[bool] = False
    approaches: ClassVar[bool] = False

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        self.problem, self.seed = problem, seed
        self.settings = settings or self.Settings()
        self.proposed = 0
        self._known: set[Policy] = set()
        self.failed: set[Policy] = set()
        self.lessons: list[Lesson] = []
        self.changes: dict[Policy, float] = {}

    def propose(self) -> Policy | None:
        """Returns the next policy to evaluate, or None when there is nothing left to propose.

        One that was proposed before is proposed again only where many attempts at another have failed: projection
        maps many a sample to the same policy. One that failed is not.
        """
        policy = known = None
        for attempt in range(ATTEMPTS):
            policy = self._propose(self.proposed, attempt)
            if policy is None or policy not in self._known:
                break
            known = known if policy in self.failed else policy
        else:
            policy = known
        if policy is None:
            self.proposed += 1
        else:
            self.skip(policy)
        return policy

    def skip(self, policy: Policy) -> None:
        """Counts a proposal that was made before: the next one comes after it, and avoids its policy."""
        self.proposed += 1
        self._known.add(policy)

    @abstractmethod
    def _propose(self, number: int, attempt: int) -> Policy | None:
        """Returns proposal ``number``, counted from 0; ``attempt`` counts those that were known already."""

    def learn(self, policy: Policy, score: float | None, change: float | None = None) -> None:
        """Learns from a score; None says that the evaluation failed.

        Args:
            policy: what was evaluated.
            score: what it scored.
            change: how far its outputs are from the original's (`automc.evaluation.change`), where that is known.
        """
        self.note(policy, score)
        if change is not None:
            self.changes[policy] = change
        self._learn(policy, score)

    def note(self, policy: Policy, score: float | None) -> None:
        """Notes what needs no proposing again, and learns nothing from it: `restore` brings back what was learned."""
        self._known.add(policy)
        if score is None:
            self.failed.add(policy)

    def _learn(self, policy: Policy, score: float | None) -> None:  # noqa: B027 - most controls learn nothing
        """Learns from a score; None says that the evaluation failed."""

    def state(self) -> dict[str, np.ndarray]:
        """Returns all that was learned, lessons too, as arrays by name; empty where being told again is as quick."""
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Brings back what an agent of the same problem, seed and settings had learned, by its `state`."""
        if state:
            raise ValueError(f"{type(self).__name__} has no state")

    def parameters(self, policy: Policy) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns a policy as Optuna's parameters and their distributions, both by name, for Optuna's own tools.

        Only agents that are Optuna's have any: a journal keeps them beside the policy, and never reads them.
        """
        return {}, {}

    def generator(self, number: int, attempt: int) -> np.random.Generator:
        """Returns the random numbers for one attempt, the same however the proposals before it came about."""
        return np.random.default_rng([self.seed, number, attempt])
