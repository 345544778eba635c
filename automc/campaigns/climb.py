"""One agent's way up to one rung."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from automc.campaigns.journal import Journal
from automc.campaigns.turns import Turns
from automc.campaigns.workers import Job
from automc.search_spaces import Policy


class Climb(Turns):
    """The evaluations of one agent's policies at one rung, handed out as a `Course` hands out proposals.

    Args:
        name: of the agent.
        rung: where to.
        policies: what is promoted, best first.
        journal: has the agent's evaluations, and gets these.
        least: the lowest number that they may have: those below are proposals'.
    """

    def __init__(self, name: str, rung: int, policies: Sequence[Policy], journal: Journal, least: int) -> None:
        super().__init__(name, journal, lambda one: one.rung == rung and not one.extra)
        self._rung, self._least = rung, least
        self._numbers = {one.policy: one.number for one in self._unfinished}
        there = {one.policy for one in self.finished.values()}
        self._waiting = deque(policy for policy in policies if policy not in there)
        self.total = len(there) + len(self._waiting)

    @property
    def begun(self) -> int:
        """How many evaluations have begun, those that have ended too."""
        return self.total - len(self._waiting)

    def next(self) -> Job | None:
        """Returns the next evaluation, its row committed; None where there is none."""
        if not self._waiting:
            return None
        policy = self._waiting.popleft()
        if (number := self._numbers.get(policy)) is None:
            number = self._journal.free(self.name, self._least)
            self._journal.begin(self.name, number, policy, rung=self._rung)
        return Job(self.name, number, policy, self._rung)
