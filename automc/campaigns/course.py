"""One agent's way through a search: which policy comes next, and what the agent knows by then."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from automc.agents import Agent, agent_class
from automc.campaigns.checkpoints import Memory
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.events import EventLog
from automc.campaigns.journal import Journal
from automc.campaigns.result import Learned
from automc.campaigns.turns import Turns
from automc.campaigns.workers import Job


class Course(Turns):
    """The proposals of one agent, in order, and its lessons, in the same order.

    Before an agent makes proposal ``k``, it learns what it proposed up to number ``k - ahead``, and nothing later. So
    its proposals depend on its seed and on ``ahead``, and neither on how many workers there are nor on which of
    them is the quickest or dies. An agent that does not learn need not wait.

    Args:
        name: of the agent.
        make: makes the agent as it is before it learns anything.
        journal: has its evaluations, and gets them.
        folder: where its checkpoint goes.
        digest: what tells this search from all others.
        total: how many proposals it may make.
        ahead: how many of them may be under way.
        events: makes the log for TensorBoard, from what was learned before; None where nobody watches.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Agent],
        journal: Journal,
        folder: Path,
        digest: str,
        total: int,
        ahead: int,
        events: Callable[[Memory, list[Evaluated]], EventLog] | None = None,
    ) -> None:
        super().__init__(name, journal, lambda one: one.proposal)
        self._again = deque(self._unfinished)
        kind = agent_class(name)
        self.total = total if kind.proposals is None else min(kind.proposals, total)
        self._ahead = ahead if kind.learns else self.total
        there = len(self.finished) + len(self._unfinished)
        due = 0
        while due in self.finished and due <= there - 1 - self._ahead:
            due += 1
        before = [self.finished[number] for number in range(due)]
        self._memory = Memory(make, name, folder, digest, before)
        rows = {one.number: one.policy for one in self.finished.values()}
        rows |= {one.number: one.policy for one in self._unfinished}
        for number in range(due, there):
            self.agent.skip(rows[number])
        self._learned, self._exhausted = due, False
        self._log: AbstractContextManager[EventLog | None] = events(self._memory, before) if events else nullcontext()
        self._events = self._log.__enter__()

    @property
    def agent(self) -> Agent:
        """The agent."""
        return self._memory.agent

    @property
    def begun(self) -> int:
        """How many evaluations have begun, those that have ended too."""
        return self.agent.proposed - len(self._again)

    @property
    def lessons(self) -> list[Learned]:
        """What the agent took from its evaluations."""
        return list(self._memory.lessons.values())

    def next(self) -> Job | None:
        """Returns the next evaluation, its row committed; None where there is none now.

        What began in an earlier session and did not end comes first.
        """
        if self._again:
            again = self._again.popleft()
            return Job(self.name, again.number, again.policy)
        number = self.agent.proposed
        if self._exhausted or number >= self.total or not self._learn(number - self._ahead + 1):
            return None
        policy = self.agent.propose()
        if policy is None:
            self._exhausted = True
            return None
        self._journal.begin(self.name, number, policy, False, *self.agent.parameters(policy))
        return Job(self.name, number, policy)

    def close(self, ended: bool) -> None:
        """Learns what is left, where all has ended, and notes what was learned."""
        if ended:
            self._learn(len(self.finished))
        self._memory.write()
        self._log.__exit__(None, None, None)

    def _learn(self, until: int) -> bool:
        """Learns the first so many evaluations, in order; says whether all of them have ended."""
        while self._learned < until and (done := self.finished.get(self._learned)) is not None:
            self._memory.learn(done)
            self._learned += 1
            if self._events is not None:
                self._events.write(done)
        return self._learned >= until
