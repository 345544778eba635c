"""What a search lets take turns: each hands out evaluations of one agent and takes back what became of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from automc.campaigns.evaluated import Evaluated
from automc.campaigns.journal import Begun, Journal
from automc.campaigns.workers import Job


class Turns(ABC):
    """Some evaluations of one agent, in an order of their own.

    Args:
        name: of the agent.
        journal: has its evaluations, and gets them.
        own: which of the agent's rows these are.

    Attributes:
        name: of the agent.
        total: how many there may be.
        finished: those that have ended, by their numbers.
        deaths: how many workers have died of those that have not ended, by their numbers.
    """

    total: int

    def __init__(self, name: str, journal: Journal, own: Callable[[Evaluated | Begun], bool]) -> None:
        self.name, self._journal = name, journal
        self._unfinished = [one for one in journal.begun(name) if own(one)]
        self.finished = {one.number: one for one in journal.evaluations(name) if own(one)}
        self.deaths = {one.number: one.deaths for one in self._unfinished}

    @property
    @abstractmethod
    def begun(self) -> int:
        """How many evaluations have begun, those that have ended too."""

    @abstractmethod
    def next(self) -> Job | None:
        """Returns the next evaluation, its row committed; None where there is none now."""

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
