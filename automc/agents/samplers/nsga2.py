"""Optuna's NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation 2002): a front, not a point."""

from __future__ import annotations

from typing import Any

from optuna.samplers import NSGAIISampler
from optuna.study import StudyDirection
from pydantic import BaseModel, ConfigDict, Field, field_validator

from automc.agents._base import Problem
from automc.agents.samplers._base import SamplerAgent
from automc.costs import METRICS
from automc.errors import ConfigError, nearest
from automc.search_spaces import Policy


class NSGA2Settings(BaseModel):
    """What can be set.

    Attributes:
        objectives: metrics to make small while the score is made good; the first budget's by default.
        population: policies of a generation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    objectives: tuple[str, ...] | None = Field(default=None, min_length=1)
    population: int = Field(default=20, ge=2)

    @field_validator("objectives")
    @classmethod
    def _are_metrics(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for place, name in enumerate(value or ()):
            if name not in METRICS:
                raise ValueError(f"no objective '{name}'{nearest(name, METRICS)}; there are {', '.join(METRICS)}")
            if name in (value or ())[:place]:
                raise ValueError(f"'{name}' is there twice")
        return value


class NSGA2(SamplerAgent):
    """Breeds policies from those that no other beats in both score and costs, so that it ends with a front of them.

    Parents are the best of the latest generation and of its parents: those that the fewest beat, of equal ones those
    that lie apart. A child has each axis from one of two parents, one axis in the mean is drawn anew. A policy that
    keeps the budgets stays as it is, so the front reaches from the budgets down; one over them is projected.

    A policy's generation follows from the order in which policies are learned. As published, children are made from a
    complete generation; where proposals are made ahead, the first of a generation come from the parents before.

    Raises:
        ConfigError: an objective is not known here, as latency without a latency table.
    """

    Settings = NSGA2Settings
    settings: NSGA2Settings

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        asked = settings if isinstance(settings, NSGA2Settings) else NSGA2Settings()
        budgets, known = problem.projection.budgets, problem.projection.model.metrics
        self.objectives = asked.objectives or (budgets[0].metric if budgets else "macs",)
        for name in self.objectives:
            if name not in known:
                raise ConfigError(f"agent_args.objectives: no {name} is known here; these are: {', '.join(known)}")
        super().__init__(problem, seed, asked)

    def _sampler(self, seed: int) -> NSGAIISampler:
        return NSGAIISampler(population_size=self.settings.population, seed=seed)

    def _directions(self) -> list[StudyDirection]:
        return [*super()._directions(), *[StudyDirection.MINIMIZE] * len(self.objectives)]

    def _values(self, policy: Policy, score: float) -> list[float]:
        prices = self.problem.projection.model.prices(self.problem.space.encode(policy)[None], self.objectives)
        return [score, *(float(prices[name][0]) for name in self.objectives)]

    def _sample(self, seed: int, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
        return super()._sample(seed, self._generation())

    def _attributes(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._generation()

    def _learn(self, policy: Policy, score: float | None) -> None:
        super()._learn(policy, score)
        generation, place = divmod(self._trials, self.settings.population)
        if generation and place == 0:  # Optuna notes parents when first asked, and gives them in another order then
            self._sampler(0).get_parent_population(self._fresh(), generation)

    def _generation(self) -> dict[str, int]:
        """Returns the attribute that says of which generation the next trial is."""
        return {NSGAIISampler._get_generation_key(): self._trials // self.settings.population}
