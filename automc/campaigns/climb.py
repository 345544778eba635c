"""One agent's way up to one rung."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from automc.campaigns.journal import Journal
from automc.campaigns.result import Evaluated
from automc.campaigns.workers import Job
from automc.search_spaces import Policy


class Climb:
    """The evaluations of one agent's policies at one rung, handed out as a `Course` hands out proposals.

    Args:
        name: of the agent.
        rung: where to.
        policies: what is promoted, best first.
        journal: has the agent's evaluations, and gets these.
        least: the lowest number that they may have: those below are proposals'.

    Attributes:
        name: of the agent.
        finished: evaluations at this rung that have ended, by their numbers.
        deaths: how many workers have died of evaluations that have not ended, by their numbers.
    """

    def __init__(self, name: str, rung: int, policies: Sequence[Policy], journal: Journal, least: int) -> None:
        self.name, self._rung, self._journal, self._least = name, rung, journal, least
        done = [one for one in journal.evaluations(name) if one.rung == rung and not one.extra]
        begun = [one for one in journal.begun(name) if one.rung == rung and not one.extra]
        self.finished = {one.number: one for one in done}
        self.deaths = {one.number: one.deaths for one in begun}
        self._numbers = {one.policy: one.number for one in begun}
        there = {one.policy for one in done}
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

    def settle(self, done: Evaluated) -> None:
        """Commits an evaluation that has ended."""
        self._journal.commit(done)
        self.finished[done.number] = done
        self.deaths.pop(done.number, None)

    def died(self, number: int) -> int:
        """Commits that one more worker died of an evaluation; returns how many have."""
        self.deaths[number] = self.deaths.get(number, 0) + 1
        self._journal.died(self.name, number, self.deaths[number])
        return self.deaths[number]
