"""An agent that learns, has settings and a state, and takes no time."""

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from automc.agents import AGENTS, Agent, Lesson, Problem
from automc.campaigns.checkpoints import Memory
from automc.campaigns.evaluated import Evaluated
from automc.costs import Cost
from automc.search_spaces import Policy
from automc.testing import toy_score


class DrifterSettings(BaseModel):
    """What it has.

    Attributes:
        noise: how far it looks around,
            in shares of an axis.
        rate: how far it follows a reward.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    noise: float = Field(default=0.4, gt=0)
    rate: float = Field(default=0.5, gt=0)


class Drifter(Agent):
    """Looks around a place that drifts towards what was rewarded: what it proposes depends on all that it learned.

    ``LEARNED_LOG`` in the environment names a file that gets a line for each evaluation learned.
    """

    Settings: ClassVar[type[BaseModel]] = DrifterSettings

    def __init__(self, problem: Problem, seed: int, settings: BaseModel | None = None) -> None:
        super().__init__(problem, seed, settings)
        self.set: Any = self.settings
        self.place = np.full(len(problem.space.axes), 0.5)

    def _propose(self, number: int, attempt: int) -> Policy | None:
        noise = self.set.noise * (1 + attempt) * self.generator(number, attempt).uniform(-1, 1, len(self.place))
        full = self.problem.space.full
        return self.problem.policy(np.clip(np.rint((self.place + noise) * full), 0, full).astype(int))

    def _learn(self, policy: Policy, score: float | None) -> None:
        if (log := os.environ.get("LEARNED_LOG")) is not None:
            with Path(log).open("a") as file:
                file.write("learned\n")
        if score is None:
            return
        step = self.problem.space.encode(policy) / self.problem.space.full - self.place
        self.place = self.place + self.set.rate * score * step
        self.lessons.append(Lesson(policy, 2 * score, {"step": float(np.abs(step).mean())}))

    def state(self) -> dict[str, np.ndarray]:
        rows = [[lesson.reward, lesson.figures["step"]] for lesson in self.lessons]
        return {
            "place": self.place,
            "lessons": np.array([self.problem.space.encode(lesson.policy) for lesson in self.lessons]),
            "rewards": np.array(rows).reshape(-1, 2).T[0],  # a column: what is written has to be made contiguous
            "steps": np.array(rows).reshape(-1, 2).T[1],
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self.place = state["place"]
        for index, reward, step in zip(state["lessons"], state["rewards"], state["steps"], strict=True):
            self.lessons.append(Lesson(self.problem.space.decode(index), float(reward), {"step": float(step)}))


def go_on(memory: Memory, until: int) -> list[Evaluated]:
    """Lets an agent propose and learn; every fifth evaluation fails."""
    found = []
    for number in range(memory.agent.proposed, until):
        policy = memory.agent.propose()
        assert policy is not None
        score = None if number % 5 == 3 else toy_score(policy)
        found.append(
            Evaluated(agent="drifter", number=number, policy=policy, score=score,
                      predicted=Cost(1, 2, 3, 4), seconds=0.1, error=None if score else "no")
        )  # fmt: skip
        memory.learn(found[-1])
    return found


def register() -> None:
    """Lets configurations of this process name it."""
    AGENTS["drifter"] = (f"{__name__}:Drifter", "looks around a place that drifts")
