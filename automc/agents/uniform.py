"""All layers alike: the first control."""

from __future__ import annotations

from automc.agents._base import Agent
from automc.search_spaces import Policy


class Uniform(Agent):
    """Proposes one policy: every width scaled down alike until the budgets are kept."""

    proposals = 1

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self.problem.uniform() if number == 0 else None
