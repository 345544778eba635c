"""The default: an integer program whose harms are learned while it searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from automc.agents._base import ATTEMPTS, Agent, Lesson, Problem
from automc.agents.greedy import descend
from automc.agents.program import Program
from automc.search_spaces import Policy

_LEAST = 0.05  # of what an axis's harm was thought to be: no axis becomes free
_WIDER = 0.1  # standard deviation of the logarithm of harms where a known policy came out; twice that each time more


class AutoSettings(BaseModel):
    """Settings of the default agent.

    Attributes:
        doubt: standard deviation of what one axis's harm is, as a share of what sensitivities say.
        noise: standard deviation of what a policy turns out to be, as a share of what the model says.
        every: of so many proposals one is what is thought to be the best; the others are drawn.
        seconds: that one integer program may take; one that is stopped by it depends on how busy the machine is.
        gap: share of the expected harm by which a solution may be above the least possible; less than what is unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    doubt: float = Field(0.4, gt=0, le=2)
    noise: float = Field(0.04, gt=0, le=1)
    every: int = Field(3, ge=1)
    seconds: float = Field(60.0, ge=0, allow_inf_nan=False)
    gap: float = Field(0.03, ge=0, le=1)


class Auto(Agent):
    """Thompson sampling over integer programs.

    What a policy does to the outputs is thought to be ``g * sum_a c_a * harm_a(option)``: sensitivities, each axis's
    with a factor of its own that is near one. The factors have a normal prior, and each evaluation is one more linear
    observation of them, so that their posterior is known exactly. A proposal is the optimum of the integer program
    under factors drawn from it (Thompson, Biometrika, 1933; for linear models Agrawal and Goyal, ICML 2013), and
    every few proposals under their mean. The first is the program's optimum by sensitivities alone.

    It learns from how far outputs are from the original's (`automc.evaluation.change`), which tells two good policies
    apart on far fewer images than a score; where that is not known, from how much the score fell.

    Peak memory is no sum, which an integer program could bound: with a budget of it, harms are given up greedily.
    """

    Settings: ClassVar[type[BaseModel]] = AutoSettings
    settings: AutoSettings
    needs_sensitivities: ClassVar[bool] = True

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        self._features: list[np.ndarray] = []
        self._found: list[float] = []

    def _propose(self, number: int, attempt: int) -> Policy | None:
        generator = self.generator(number, attempt)
        if attempt >= ATTEMPTS // 2:  # the program comes to known policies only
            return self.problem.sample(generator)
        factors = np.ones(len(self._harms))
        if self._found:
            mean, root = self._posterior()
            drawn = generator.standard_normal(len(mean)) if number % self.settings.every else np.zeros(len(mean))
            factors = np.maximum(1 + self.settings.doubt * (mean + root @ drawn), _LEAST)
        if attempt:
            factors = factors * np.exp(_WIDER * 2 ** (attempt - 1) * generator.standard_normal(len(factors)))
        return self.problem.space.decode(self._best(factors))

    def _best(self, factors: np.ndarray) -> np.ndarray:
        """Returns the policy (A,) that is best under factors (A,) on the axes' harms."""
        assert self.problem.sensitivities is not None
        harms = tuple(factor * harm for factor, harm in zip(factors, self._harms, strict=True))
        if "memory" in self.problem.projection.limits:
            return descend(self.problem.projection, replace(self.problem.sensitivities, harms=harms))
        return self._program.solve(harms, self.settings.seconds, self.settings.gap).index

    def _learn(self, policy: Policy, score: float | None) -> None:
        if score is None:
            return
        features = self._features_of(policy)
        found = self.changes.get(policy, self._fall(score))
        expected = self._expected(features)
        self._features.append(features)
        self._found.append(max(found, 1e-9))
        figures = {"change": found} | ({} if expected is None else {"expected": expected})
        self.lessons.append(Lesson(policy, -found, figures))

    @property
    def _harms(self) -> Sequence[np.ndarray]:
        assert self.problem.sensitivities is not None
        return self.problem.sensitivities.harms

    @cached_property
    def _program(self) -> Program:
        return Program(self.problem.projection)

    def _features_of(self, policy: Policy) -> np.ndarray:
        """Returns (A,) each axis's harm under a policy, by sensitivities."""
        index = self.problem.space.encode(policy)
        return np.array([harm[option] for harm, option in zip(self._harms, index, strict=True)])

    def _fall(self, score: float) -> float:
        """Returns how far a score is below the original's, or where nobody knows that, below nothing."""
        original = self.problem.original_score
        return (0.0 if original is None else self.problem.merit(original)) - self.problem.merit(score)

    def _posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mean (A,) of the factors' deviations, in units of `doubt`, and a root (A, A) of their covariance.

        Each observation is divided by its own size: noise is a share. ``g`` is what makes the median of them right.
        """
        features, found = np.array(self._features), np.array(self._found)
        total, scale = features.sum(1), self._scale
        design = scale * self.settings.doubt * features / (self.settings.noise * found[:, None])
        rest = (found - scale * total) / (self.settings.noise * found)
        precision = design.T @ design + np.eye(features.shape[1])
        lower = np.linalg.cholesky(precision)
        mean = np.linalg.solve(precision, design.T @ rest)
        return mean, np.linalg.inv(lower).T

    def _expected(self, features: np.ndarray) -> float | None:
        """Returns what the model says of a policy; None before it has learned anything."""
        if not self._found:
            return None
        mean, _ = self._posterior()
        return float(self._scale * features @ (1 + self.settings.doubt * mean))

    @property
    def _scale(self) -> float:
        """The median of what policies turned out to be, as a share of what sensitivities say."""
        return float(np.median(np.array(self._found) / np.maximum(np.array(self._features).sum(1), 1e-12)))
