"""Handing evaluations out to workers, and taking back what became of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from automc import progress
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.findings import Findings
from automc.campaigns.limits import Watch
from automc.campaigns.turns import Turns
from automc.campaigns.workers import Job, Outcome, Workers
from automc.search_spaces import Policy

_DEATHS = 3  # workers that one evaluation may take with it
_LOOK = 1.0  # seconds between two looks at what else there is to do while evaluations run


class Dispatch:
    """Lets some take turns until none of them has anything left.

    Whoever has begun the fewest is next, so that all keep step. What several ask for is evaluated once and committed
    for each of them. An evaluation that three workers died of, one after the other, has failed.

    Attributes:
        stopped: which limit ended it, in words; None where none did.

    Args:
        turns: who take turns, by name; what they finished in earlier sessions is noted at once.
        workers: who evaluates.
        findings: what is known already, and gets what ends.
        watch: what ends it before all have had their turns; None for nothing.
        orphaned: whether evaluations that did not end took the process with them that ran them.
    """

    def __init__(
        self,
        turns: Mapping[str, Turns],
        workers: Workers,
        findings: Findings,
        watch: Watch | None = None,
        orphaned: bool = False,
    ) -> None:
        self.stopped: str | None = None
        self._turns, self._workers, self._findings, self._watch = turns, workers, findings, watch
        self._before = len(findings.evaluations)
        self._waiting: dict[tuple[Policy, int], list[Job]] = {}  # by policy and rung, who wait for it
        for one in turns.values():
            for done in one.finished.values():
                self._note(done)
        if orphaned and workers.local:
            for one in turns.values():
                for number in list(one.deaths):
                    one.died(number)

    def run(self, title: str, total: int, asked_to_stop: Callable[[], bool]) -> None:
        """Hands out evaluations until all have ended.

        Args:
            title: what is being done.
            total: how many evaluations there are to be, for the progress bar.
            asked_to_stop: whether to let evaluations under way end and then stop.
        """
        with progress.bar(title, total, self._done) as line:

            def show(who: str) -> None:
                line.show(f"{title}: {who}", self._done)

            while True:
                if not self._enough() and not asked_to_stop():
                    self._fill(show)
                if not self._waiting:
                    return
                for outcome in self._workers.wait(_LOOK):
                    self._take(outcome, show)

    @property
    def _done(self) -> int:
        return len(self._findings.evaluations) - self._before

    def _enough(self) -> bool:
        if self._watch is not None and self.stopped is None and (reason := self._watch.reached()) is not None:
            self.stopped = reason
            progress.say(f"The search ends early; {reason}")
        return self.stopped is not None

    def _fill(self, show: Callable[[str], None]) -> None:
        """Hands out evaluations while there is room."""
        waiting = deque(sorted(self._turns.values(), key=lambda one: one.begun))
        while waiting and len(self._waiting) < self._workers.room:
            turn = waiting.popleft()
            if (job := turn.next()) is None:
                continue
            waiting = deque(sorted([turn, *waiting], key=lambda one: one.begun))
            if turn.deaths.get(job.number, 0) >= _DEATHS:
                self._settle(job, _poisonous(job), show)
            elif (known := self._findings.known(job)) is not None:  # another agent proposed it, and once is enough
                self._settle(job, _at_no_cost(known), show)
            elif job.what in self._waiting:
                self._waiting[job.what].append(job)
            else:
                self._waiting[job.what] = [job]
                show(job.agent)
                self._workers.submit(job)

    def _take(self, outcome: Outcome, show: Callable[[str], None]) -> None:
        """Settles what has ended; what a worker died of begins again."""
        job = outcome.job
        if outcome.died:
            turn = self._turns[job.agent]
            deaths = turn.deaths.get(job.number, 0) if outcome.blameless else turn.died(job.number)
            progress.say(f"A worker died ({outcome.error}); number {job.number} of {job.agent} begins again")
            if deaths < _DEATHS:
                self._workers.submit(job)
                return
            outcome = _poisonous(job)
        for one in self._waiting.pop(job.what):
            self._settle(one, outcome, show)
            outcome = _at_no_cost(outcome)

    def _settle(self, job: Job, outcome: Outcome, show: Callable[[str], None]) -> None:
        done = self._findings.evaluated(job, outcome)
        self._turns[job.agent].settle(done)
        if done.error is not None and not self._findings.failed:
            progress.say(f"Evaluation {done.number} of {done.agent} failed, the search goes on: {done.error}")
        self._note(done)
        best = self._findings.front.best
        show(job.agent if best is None else f"{job.agent}, best {best.score:.4g}")

    def _note(self, done: Evaluated) -> None:
        self._findings.add(done)
        if self._watch is not None:
            self._watch.add(done)


def _at_no_cost(outcome: Outcome) -> Outcome:
    """Returns what another agent's evaluation is for one more: it took no time of its own."""
    return replace(outcome, seconds=0.0)


def _poisonous(job: Job) -> Outcome:
    return Outcome(job, None, 0.0, "", error=f"poisonous: {_DEATHS} workers died of it, one after the other")
