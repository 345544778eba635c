"""Random policies: the second control."""

from __future__ import annotations

from typing import ClassVar

from automc.agents._base import Agent
from automc.search_spaces import Policy


class Random(Agent):
    """Proposes independent random policies, projected onto the budgets."""

    learns: ClassVar[bool] = False

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self.problem.sample(self.generator(number, attempt))
