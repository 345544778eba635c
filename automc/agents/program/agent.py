"""The optimum of the integer program, as an agent."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from automc import progress
from automc.agents._base import Agent, Lesson
from automc.agents.program.program import Program, Solution
from automc.costs import METRICS
from automc.search_spaces import Policy


class ProgramSettings(BaseModel):
    """Settings of the integer program.

    Attributes:
        seconds: for which the solver looks at most; then the best found so far is proposed, and its gap is said.
        gap: share of the expected harm by which a solution that counts as the best may be above the least possible.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float = Field(10.0, ge=0, allow_inf_nan=False)
    gap: float = Field(1e-4, ge=0, le=1)


class IntegerProgram(Agent):
    """Proposes one policy: that of the least sum of sensitivities which keeps the budgets, by the cost model.

    The objective is what `Sensitivities.of` says of a policy, see `Program`. What it learns from a score is nothing;
    its lesson tells how far the solver came: the objective, its gap to what is possible, and the seconds it took.
    """

    Settings: ClassVar[type[BaseModel]] = ProgramSettings
    settings: ProgramSettings
    proposals: ClassVar[int | None] = 1
    learns: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = tuple(metric for metric in METRICS if metric != "memory")
    needs_sensitivities: ClassVar[bool] = True

    @cached_property
    def _solution(self) -> Solution:
        assert self.problem.sensitivities is not None
        program = Program(self.problem.projection)
        found = program.solve(self.problem.sensitivities.harms, self.settings.seconds, self.settings.gap)
        if found.status != "optimal":
            away = "nothing in time, so a uniform policy" if found.gap is None else f"a gap of {100 * found.gap:.3g}%"
            progress.say(f"integer program: stopped after {progress.duration(found.seconds)} with {away}; see seconds")
        return found

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self.problem.space.decode(self._solution.index) if number == 0 else None

    def _learn(self, policy: Policy, score: float | None) -> None:
        if score is not None and policy == self.problem.space.decode(self._solution.index):
            found = self._solution
            figures = {"objective": found.objective, "seconds": found.seconds}
            self.lessons.append(Lesson(policy, score, figures | ({} if found.gap is None else {"gap": found.gap})))
