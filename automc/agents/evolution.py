"""Evolutionary search (MetaPruning: Liu et al., ICCV 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from automc.agents._base import ATTEMPTS, Agent, Problem
from automc.search_spaces import Policy

_BROOD = 64  # children of which the first that is neither over the budgets nor far below them is taken


class EvolutionSettings(BaseModel):
    """Settings of evolution.

    MetaPruning's released code (github.com/liuzechun/MetaPruning, searching/search.py) has a population of 50, 10
    parents, 25 mutations and 25 crossovers a generation, 0.1 for an axis to mutate, and 20 generations: 1000
    evaluations. With 50 random policies little is left of 60 evaluations, and at 400 fewer were better too: the
    defaults of `population` and `parents` are the best of those tried on planted problems, the others are published.

    Attributes:
        population: how many random policies come first.
        parents: how many of the best policies known have children.
        mutants: share of the children that are mutations of one parent; the others cross two.
        rate: probability that an axis of a mutant takes another option.
        fill: share of a budget that a child uses at least, where such a child is found; published for ResNet-50: 0.95.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    population: int = Field(default=10, ge=2)
    parents: int = Field(default=5, ge=2)
    mutants: float = Field(default=0.5, ge=0, le=1)
    rate: float = Field(default=0.1, gt=0, le=1)
    fill: float = Field(default=0.95, ge=0, le=1)


class Evolution(Agent):
    """Mutates and crosses the best policies; the uniform policies and random ones come first.

    A mutant has each axis of its parent at another option with a small probability; a crossover takes each axis of
    either parent. As published, children that are over the budgets or far below are drawn anew; where none of many
    draws will do, the first is projected. Unlike published, there are no generations: each child's parents are the
    best that are known when it is proposed, not those of the last 50, since evaluations come one by one.
    """

    settings: Any  # an instance of Settings
    Settings = EvolutionSettings

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        self._merits: dict[Policy, float] = {}

    def _propose(self, number: int, attempt: int) -> Policy | None:
        if (policy := self.problem.first(number, attempt)) is not None:
            return policy
        generator = self.generator(number, attempt)
        explores = number < self.settings.population or attempt >= ATTEMPTS // 2
        if explores or len(self._merits) < 2:  # nothing to cross, or known policies only
            return self.problem.sample(generator)
        ranked = sorted(self._merits, key=lambda policy: -self._merits[policy])
        parents = np.stack([self.problem.space.encode(policy) for policy in ranked[: self.settings.parents]])
        mutates = generator.random() < self.settings.mutants
        children = self._mutants(parents, generator) if mutates else self._crossovers(parents, generator)
        excess = self.problem.projection.excess(children)
        fitting = np.flatnonzero((self.settings.fill <= excess) & (excess <= 1))
        return self.problem.policy(children[fitting[0] if len(fitting) else 0])

    def _mutants(self, parents: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        sizes = self.problem.space.sizes
        children = parents[generator.integers(len(parents), size=_BROOD)]
        shifts = generator.integers(1, np.maximum(sizes, 2), children.shape)  # to any option but its own
        return np.where(generator.random(children.shape) < self.settings.rate, (children + shifts) % sizes, children)

    def _crossovers(self, parents: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        order = np.argsort(generator.random((_BROOD, len(parents))), axis=1)  # two different parents each
        either = generator.random((_BROOD, parents.shape[1])) < 0.5
        return np.where(either, parents[order[:, 0]], parents[order[:, 1]])

    def _learn(self, policy: Policy, score: float | None) -> None:
        """Remembers what has a score; one that failed says nothing about where good policies are."""
        if score is not None:
            self._merits.setdefault(policy, self.problem.merit(score))
