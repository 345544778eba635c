"""Searching: controls and agent propose, workers evaluate, the journal keeps what came out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from automc import progress
from automc.agents import CONTROLS, Agent, Problem, agent_class, make_agent
from automc.campaigns import checkpoints, events
from automc.campaigns.checkpoints import Memory
from automc.campaigns.config import SearchConfig
from automc.campaigns.course import Course
from automc.campaigns.front import Front
from automc.campaigns.journal import Journal
from automc.campaigns.limits import Watch
from automc.campaigns.result import Evaluated, Learned
from automc.campaigns.setup import Setup
from automc.campaigns.workers import Job, Outcome, Workers
from automc.campaigns.workers.local import evaluated
from automc.costs import Projection
from automc.devices import Timing
from automc.errors import ConfigError, SearchError, users_code
from automc.evaluation import Evaluator
from automc.search_spaces import Policy

_DEATHS = 3  # workers that one evaluation may take with it
_LOOK = 1.0  # seconds between two looks at what else there is to do while evaluations run


class NothingFound(SearchError):
    """A search has no result, and nothing to go on with."""


class Search:
    """The evaluations of one search.

    Attributes:
        controls: names of the controls.
        agents: names of all that search, controls first.
        digest: of what tells this search from all others.
        evaluations: all that have ended, so far.
        lessons: what the agent that was asked for took from its own.
        stopped: why it ended before it had all its evaluations, in words; None where it did not.

    Args:
        config: what was asked for.
        setup: what it stands on.
        journal: where evaluations go, and come from when the search is resumed.
        folder: where checkpoints and events go.
        digest: of what tells this search from all others.
        ahead: proposals of an agent that may be under way.

    Raises:
        TaskError: the task cannot score its own network.
    """

    def __init__(
        self, config: SearchConfig, setup: Setup, journal: Journal, folder: Path, digest: str, ahead: int = 1
    ) -> None:
        self.config, self.setup, self._journal, self.digest = config, setup, journal, digest
        self._folder, self._ahead = folder, ahead
        self.controls: tuple[str, ...] = CONTROLS
        self.agents = tuple(dict.fromkeys((*CONTROLS, config.agent)))
        subject = setup.subject
        # a task that cannot score its own network is found out now, not by evaluations that all fail
        with users_code("the task cannot score its own network on search images"):
            self.evaluator = Evaluator(
                subject.task, subject.model, subject.graph, config.fidelity, config.methods, config.seed
            )
            self.original_score = self.evaluator.score(subject.model)
        self.problem = Problem(setup.space, setup.projection, subject.task.higher_is_better, self.original_score)
        self.evaluations: list[Evaluated] = []
        self.lessons: list[Learned] = []
        self.stopped: str | None = None
        self._courses: dict[str, Course] = {}
        self._known: dict[Policy, Outcome] = {}
        self._waiting: dict[Policy, list[Job]] = {}
        self._front = Front(config.budgets[0].metric, self.problem.higher_is_better, setup.projection.limits)
        self._failed = False

    def run(
        self,
        workers: Workers,
        seconds: float = 0.0,
        orphaned: bool = False,
        asked_to_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Lets controls and agent take turns, until each has had as many evaluations as were asked for.

        Args:
            workers: who evaluates.
            seconds: that earlier sessions searched.
            orphaned: whether evaluations that did not end took the process with them that ran them.
            asked_to_stop: whether to let evaluations under way end and then stop.

        Returns:
            Whether the search has ended; not where it was asked to stop.

        Raises:
            ConfigError: the agent that was asked for cannot search this; nothing was evaluated yet.
            NothingFound: all evaluations of the agent that was asked for failed, or it has nothing to propose.
        """
        asked = self.config.agent
        warmup = getattr(self._make(asked).settings, "warmup", 0)
        if warmup >= self.config.evaluations:
            raise ConfigError(
                f"agent_args.warmup: {asked} begins to learn after {warmup} evaluations, and evaluations is "
                f"{self.config.evaluations}; ask for more of these, or for a shorter warm-up"
            )
        self._courses = {name: self._course(name) for name in self.agents}
        front = Front(self.config.budgets[0].metric, self.problem.higher_is_better)
        watch = Watch(self.config.limits, asked, front, seconds)
        for course in self._courses.values():
            for done in course.finished.values():
                self._note(done, watch)
        if orphaned and workers.local:
            self._blame()
        ended = False
        try:
            self._evaluate(workers, watch, asked_to_stop)
            ended = not asked_to_stop()
        finally:
            for course in self._courses.values():
                course.close(ended)
        if not ended:
            return False
        self.evaluations.sort(key=lambda done: (self.agents.index(done.agent), done.number))
        self.lessons = self._courses[asked].lessons
        if not self.ranked(asked):
            first = next((done for done in self.evaluations if done.agent == asked), None)
            if first is None:
                raise NothingFound(f"{asked} has nothing to propose in this space; choose another agent or space")
            raise NothingFound(
                f"all evaluations of {asked} failed (the first: {first.error}); mend it and search again"
            )
        return True

    def _evaluate(self, workers: Workers, watch: Watch, asked_to_stop: Callable[[], bool]) -> None:
        with progress.bar("Searching", self.total(), len(self.evaluations)) as line:
            while True:
                if self.stopped is None and (reason := watch.reached()) is not None:
                    self.stopped = reason
                    progress.say(f"The search ends early; {reason}")
                if self.stopped is None and not asked_to_stop():
                    self._fill(workers, watch, line)
                if not self._waiting:
                    return
                for outcome in workers.wait(_LOOK):
                    self._take(outcome, workers, watch, line)

    def _fill(self, workers: Workers, watch: Watch, line: progress.Bar) -> None:
        """Hands out evaluations while there is room; who has begun the fewest is next, so that all keep step."""
        waiting = deque(sorted(self._courses.values(), key=lambda course: course.begun))
        while waiting and len(self._waiting) < workers.room:
            course = waiting.popleft()
            if (job := course.next()) is None:
                continue
            waiting = deque(sorted([course, *waiting], key=lambda course: course.begun))
            if course.deaths.get(job.number, 0) >= _DEATHS:
                self._settle(job, _poisonous(job), watch, line)
            elif job.policy in self._known:  # another agent proposed it, and once is enough
                self._settle(job, _at_no_cost(self._known[job.policy]), watch, line)
            elif job.policy in self._waiting:
                self._waiting[job.policy].append(job)
            else:
                self._waiting[job.policy] = [job]
                line.show(f"Searching: {course.name}", len(self.evaluations))
                workers.submit(job)

    def _take(self, outcome: Outcome, workers: Workers, watch: Watch, line: progress.Bar) -> None:
        job = outcome.job
        if outcome.died:
            course = self._courses[job.agent]
            deaths = course.deaths.get(job.number, 0) if outcome.blameless else course.died(job.number)
            progress.say(f"A worker died ({outcome.error}); number {job.number} of {job.agent} begins again")
            if deaths < _DEATHS:
                workers.submit(job)
                return
            outcome = _poisonous(job)
        for one in self._waiting.pop(job.policy):
            self._settle(one, outcome, watch, line)
            outcome = _at_no_cost(outcome)

    def _settle(self, job: Job, outcome: Outcome, watch: Watch, line: progress.Bar) -> None:
        done = self._evaluated(job, outcome)
        self._courses[job.agent].settle(done)
        if done.error is not None and not self._failed:
            progress.say(f"Evaluation {done.number} of {done.agent} failed, the search goes on: {done.error}")
        self._note(done, watch)
        best = "" if self._front.best is None else f", best {self._front.best.score:.4g}"
        line.show(f"Searching: {job.agent}{best}", len(self.evaluations))

    def _note(self, done: Evaluated, watch: Watch) -> None:
        self.evaluations.append(done)
        watch.add(done)
        self._front.add(done)
        self._failed |= done.score is None
        if done.score is not None:
            job = Job(done.agent, done.number, done.policy)
            outcome = Outcome(job, done.score, done.seconds, done.worker, done.versions, done.change, done.spread)
            self._known.setdefault(job.policy, outcome)

    def _evaluated(self, job: Job, outcome: Outcome, extra: bool = False) -> Evaluated:
        return Evaluated(
            agent=job.agent,
            number=job.number,
            policy=job.policy,
            score=outcome.score,
            predicted=self.setup.costs.cost(job.policy),
            seconds=outcome.seconds,
            change=outcome.change,
            spread=outcome.spread,
            extra=extra,
            error=outcome.error,
            worker=outcome.worker,
            seed=self.config.seed,
            fidelity=self.config.fidelity,
            versions=dict(outcome.versions),
        )

    def _course(self, name: str) -> Course:
        def log(memory: Memory, before: list[Evaluated]) -> events.EventLog:
            folder = self._folder / events.FOLDER / name
            return events.EventLog(folder, self.digest, self.problem, before, memory.lessons)

        return Course(
            name,
            lambda: self._make(name),
            self._journal,
            self._folder / checkpoints.FOLDER,
            self.digest,
            self.config.evaluations,
            self._ahead,
            log if self.config.tensorboard else None,
        )

    def total(self) -> int:
        """Returns how many evaluations there are to be, all agents together: some controls have none in some spaces."""
        total = 0
        for name in self.agents:
            most = agent_class(name).proposals
            if most is None or self._make(name).propose() is not None:
                total += min(most or self.config.evaluations, self.config.evaluations)
        return total

    def _make(self, name: str) -> Agent:
        settings = self.config.agent_args if name == self.config.agent else {}
        return make_agent(name, self.problem, self.config.seed, **settings)

    def _blame(self) -> None:
        """Counts a death for what this process was evaluating when it was killed."""
        for course in self._courses.values():
            for number in list(course.deaths):
                course.died(number)

    def evaluate_extra(self, policy: Policy, agent: str) -> Evaluated:
        """Scores a policy that no agent proposed by itself, in this process, and commits it.

        Raises:
            Exception: the machine is out of memory or of disk space. That says nothing about the policy: nothing is
                committed, and a resumed search evaluates it.
        """
        rows, begun = self._journal.evaluations(agent), self._journal.begun(agent)
        for row in rows:
            if row.extra and row.policy == policy:
                return row
        number = next((one.number for one in begun if one.extra and one.policy == policy), None)
        if number is None:
            number = 1 + max([one.number for one in rows] + [one.number for one in begun], default=-1)
        job = Job(agent, number, policy)
        self._journal.begin(agent, number, policy, True, *self._courses[agent].agent.parameters(policy))
        done = self._evaluated(job, self._known.get(policy) or evaluated(self.evaluator, job), extra=True)
        self._journal.commit(done)
        self.evaluations.append(done)
        return done

    def measured(self, done: Evaluated, timing: Timing) -> None:
        """Commits what was measured of an evaluation."""
        self._journal.measured(done, timing)
        done.measured = timing

    def tightened(self, policy: Policy, agent: str, projection: Projection) -> Policy:
        """Returns an agent's policy projected onto tighter budgets, as the agent itself would."""
        space = self.setup.space
        return space.decode(projection.project(space.encode(policy), not self._courses[agent].agent.float_only))

    def ranked(self, agent: str) -> list[Evaluated]:
        """Returns an agent's distinct policies without the failed, best first.

        Those whose score is within one standard error of the best are told apart by how little they changed outputs,
        which says more than what is left of their scores; the others by their scores, of equal ones the cheapest.
        """
        own = [done for done in self.evaluations if done.agent == agent and done.score is not None and not done.extra]
        best = max(own, key=lambda done: self.problem.merit(done.value), default=None)
        least = -np.inf if best is None else self.problem.merit(best.value) - (best.spread or 0.0)

        def key(done: Evaluated) -> tuple[float, ...]:
            merit = self.problem.merit(done.value)
            close = merit >= least and done.change is not None
            first = (0.0, done.change or 0.0) if close else (1.0, 0.0)
            return *first, -merit, done.predicted.latency or done.predicted.macs, done.number

        return list({done.policy: done for done in reversed(sorted(own, key=key))}.values())[::-1]


def _at_no_cost(outcome: Outcome) -> Outcome:
    """Returns what another agent's evaluation is for one more: it took no time of its own."""
    return replace(outcome, seconds=0.0)


def _poisonous(job: Job) -> Outcome:
    return Outcome(job, None, 0.0, "", error=f"poisonous: {_DEATHS} workers died of it, one after the other")


def output_folder(config_path: Path) -> Path:
    """Returns where a search writes when it is not told: ``runs/`` and the configuration's name."""
    return Path("runs") / config_path.stem
