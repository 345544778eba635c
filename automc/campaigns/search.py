"""Searching: controls and agent propose, workers evaluate, the journal keeps what came out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from automc import progress
from automc.agents import CONTROLS, Agent, Problem, agent_class, make_agent
from automc.campaigns import checkpoints, events
from automc.campaigns.checkpoints import Memory
from automc.campaigns.climb import Climb
from automc.campaigns.config import SearchConfig
from automc.campaigns.course import Course
from automc.campaigns.front import Front
from automc.campaigns.journal import Journal
from automc.campaigns.limits import Watch
from automc.campaigns.ranking import ranked
from automc.campaigns.result import Evaluated, Learned
from automc.campaigns.sensing import for_search
from automc.campaigns.setup import Setup
from automc.campaigns.turns import Turns
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
        sensitivities: how much each option hurts, and where that is from; None where no agent asks.
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
        ConfigError: the sensitivities that are there are damaged.
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
            rungs = [rung.fidelity for rung in config.rungs]
            self.evaluator = Evaluator(
                subject.task, subject.model, subject.graph, config.fidelity, config.methods, config.seed, rungs
            )
            self.original_score = self.evaluator.score(subject.model)
        needed = any(agent_class(name).needs_sensitivities for name in self.agents)
        resumed = any(journal.begun(name) or journal.evaluations(name) for name in self.agents)
        self.sensitivities = for_search(config, setup, self.evaluator.precision, folder, needed, resumed)
        self.problem = Problem(
            setup.space,
            setup.projection,
            subject.task.higher_is_better,
            self.original_score,
            None if (there := self.sensitivities) is None else there.found.for_space(setup.space, there.path),
        )
        self.evaluations: list[Evaluated] = []
        self.lessons: list[Learned] = []
        self.stopped: str | None = None
        self._courses: dict[str, Course] = {}
        self._turns: Mapping[str, Turns] = {}
        self._known: dict[tuple[Policy, int], Outcome] = {}  # by policy and rung, as all that waits
        self._waiting: dict[tuple[Policy, int], list[Job]] = {}
        self._front = self.front(setup.projection.limits)
        self._failed = False

    def run(
        self,
        workers: Workers,
        seconds: float = 0.0,
        orphaned: bool = False,
        asked_to_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Lets controls and agent take turns, until each has had as many evaluations as were asked for.

        After that the best of each are promoted, rung by rung: to all alike, whatever limit ended the search.

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
            SearchError: a limit was reached before its first evaluation.
        """
        asked = self.config.agent
        warmup = getattr(self._make(asked).settings, "warmup", 0)
        if warmup >= self.config.evaluations:
            raise ConfigError(
                f"agent_args.warmup: {asked} begins to learn after {warmup} evaluations, and evaluations is "
                f"{self.config.evaluations}; ask for more of these, or for a shorter warm-up"
            )
        self._courses = {name: self._course(name) for name in self.agents}
        self._turns = self._courses
        spent = self.sensitivities.spent if self.sensitivities else 0.0
        watch = Watch(self.config.limits, asked, self.front({}), seconds, spent)
        for course in self._courses.values():
            for done in course.finished.values():
                self._note(done, watch)
        orphaned = orphaned and workers.local
        if orphaned:
            self._blame()
        ended = False
        try:
            total = sum(self._counts(name)[0] for name in self.agents)
            self._evaluate("Searching", total, workers, watch, asked_to_stop)
            ended = not asked_to_stop()
        finally:
            for course in self._courses.values():
                course.close(ended)
        if not ended:
            return False
        self.lessons = self._courses[asked].lessons
        if not self.ranked(asked):
            first = next((done for done in self.evaluations if done.agent == asked), None)
            if first is None and self.stopped is not None:
                raise SearchError(f"{self.stopped} before {asked} had one; allow more, then go on with --resume")
            if first is None:
                raise NothingFound(f"{asked} has nothing to propose in this space; choose another agent or space")
            which = " that keep the budgets" if agent_class(asked).approaches else ""
            raise NothingFound(
                f"all evaluations of {asked}{which} failed (the first: {first.error}); mend it and search again"
            )
        for rung in range(1, len(self.config.rungs) + 1):
            if not self._promote(rung, workers, orphaned, asked_to_stop):
                return False
        self.evaluations.sort(key=lambda done: (self.agents.index(done.agent), done.number))
        return True

    def front(self, limits: dict[str, float]) -> Front:
        """Returns an empty front of what was asked for, within these limits."""
        metric, *more = self.config.objectives
        return Front(metric, self.problem.higher_is_better, limits, more=tuple(more))

    def _promote(self, rung: int, workers: Workers, orphaned: bool, asked_to_stop: Callable[[], bool]) -> bool:
        """Evaluates each agent's best of the rung below at this one; says whether all of that has ended."""
        keep = self.config.rungs[rung - 1].keep
        climbs: dict[str, Climb] = {}
        for name, course in self._courses.items():
            own = [done for done in self._results(name) if done.rung == rung - 1]
            best = [one.policy for one in ranked(own, self.problem.merit)[:keep]]
            climbs[name] = Climb(name, rung, best, self._journal, course.total)
            for done in climbs[name].finished.values():
                self._note(done)
        self._turns = climbs
        if orphaned:
            self._blame()
        total = sum(climb.total for climb in climbs.values())
        title = f"Promoting to rung {rung} ({self.evaluator.fidelities[rung]})"
        self._evaluate(title, total, workers, None, asked_to_stop)
        return not asked_to_stop()

    def _evaluate(
        self, title: str, total: int, workers: Workers, watch: Watch | None, asked_to_stop: Callable[[], bool]
    ) -> None:
        """Lets all take turns; without a watch, whatever limit was reached."""
        before = len(self.evaluations) - sum(len(one.finished) for one in self._turns.values())
        with progress.bar(title, total, len(self.evaluations) - before) as line:

            def show(who: str) -> None:
                line.show(f"{title}: {who}", len(self.evaluations) - before)

            while True:
                if watch is not None and self.stopped is None and (reason := watch.reached()) is not None:
                    self.stopped = reason
                    progress.say(f"The search ends early; {reason}")
                if (watch is None or self.stopped is None) and not asked_to_stop():
                    self._fill(workers, watch, show)
                if not self._waiting:
                    return
                for outcome in workers.wait(_LOOK):
                    self._take(outcome, workers, watch, show)

    def _fill(self, workers: Workers, watch: Watch | None, show: Callable[[str], None]) -> None:
        """Hands out evaluations while there is room; who has begun the fewest is next, so that all keep step."""
        waiting = deque(sorted(self._turns.values(), key=lambda course: course.begun))
        while waiting and len(self._waiting) < workers.room:
            course = waiting.popleft()
            if (job := course.next()) is None:
                continue
            waiting = deque(sorted([course, *waiting], key=lambda course: course.begun))
            if course.deaths.get(job.number, 0) >= _DEATHS:
                self._settle(job, _poisonous(job), watch, show)
            elif (what := job.what) in self._known:  # another agent proposed it, and once is enough
                self._settle(job, _at_no_cost(self._known[what]), watch, show)
            elif what in self._waiting:
                self._waiting[what].append(job)
            else:
                self._waiting[what] = [job]
                show(course.name)
                workers.submit(job)

    def _take(self, outcome: Outcome, workers: Workers, watch: Watch | None, show: Callable[[str], None]) -> None:
        job = outcome.job
        if outcome.died:
            course = self._turns[job.agent]
            deaths = course.deaths.get(job.number, 0) if outcome.blameless else course.died(job.number)
            progress.say(f"A worker died ({outcome.error}); number {job.number} of {job.agent} begins again")
            if deaths < _DEATHS:
                workers.submit(job)
                return
            outcome = _poisonous(job)
        for one in self._waiting.pop(job.what):
            self._settle(one, outcome, watch, show)
            outcome = _at_no_cost(outcome)

    def _settle(self, job: Job, outcome: Outcome, watch: Watch | None, show: Callable[[str], None]) -> None:
        done = self._evaluated(job, outcome)
        self._turns[job.agent].settle(done)
        if done.error is not None and not self._failed:
            progress.say(f"Evaluation {done.number} of {done.agent} failed, the search goes on: {done.error}")
        self._note(done, watch)
        best = "" if self._front.best is None else f", best {self._front.best.score:.4g}"
        show(f"{job.agent}{best}")

    def _note(self, done: Evaluated, watch: Watch | None = None) -> None:
        self.evaluations.append(done)
        if watch is not None:
            watch.add(done)
        self._front.add(done)
        self._failed |= done.score is None
        if done.score is not None:
            job = Job(done.agent, done.number, done.policy, done.rung)
            outcome = Outcome(job, done.score, done.seconds, done.worker, done.versions, done.change, done.spread)
            self._known.setdefault(job.what, outcome)

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
            rung=job.rung,
            error=outcome.error,
            worker=outcome.worker,
            seed=self.config.seed,
            fidelity=self.evaluator.fidelities[job.rung],
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
        """Returns how many evaluations there are to be, all agents and rungs together."""
        return sum(sum(self._counts(name)) for name in self.agents)

    def _counts(self, name: str) -> list[int]:
        """Returns how many evaluations an agent is to have at each rung: some controls have none in some spaces."""
        most = agent_class(name).proposals
        none = most is not None and self._make(name).propose() is None
        counts = [0 if none else min(most or self.config.evaluations, self.config.evaluations)]
        for rung in self.config.rungs:
            counts.append(min(rung.keep, counts[-1]))
        return counts

    def _make(self, name: str) -> Agent:
        settings = self.config.agent_args if name == self.config.agent else {}
        return make_agent(name, self.problem, self.config.seed, **settings)

    def _blame(self) -> None:
        """Counts a death for what this process was evaluating when it was killed."""
        for course in self._turns.values():
            for number in list(course.deaths):
                course.died(number)

    def evaluate_extra(self, policy: Policy, agent: str) -> Evaluated:
        """Scores a policy that no agent proposed by itself, at the last rung, in this process, and commits it.

        Raises:
            Exception: the machine is out of memory or of disk space. That says nothing about the policy: nothing is
                committed, and a resumed search evaluates it.
        """
        for row in self._journal.evaluations(agent):
            if row.extra and row.policy == policy:
                return row
        begun = self._journal.begun(agent)
        number = next((one.number for one in begun if one.extra and one.policy == policy), None)
        if number is None:
            number = self._journal.free(agent, self._courses[agent].total)
        job = Job(agent, number, policy, len(self.config.rungs))
        parameters = self._courses[agent].agent.parameters(policy)
        self._journal.begin(agent, number, policy, True, *parameters, rung=job.rung)
        done = self._evaluated(job, self._known.get(job.what) or evaluated(self.evaluator, job), extra=True)
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
        """Returns an agent's distinct policies without the failed, best first: see `ranking.ranked`.

        What an agent from above had to try on its way and is over the budgets is no result either.
        """
        return ranked(self._results(agent), self.problem.merit)

    def _results(self, agent: str) -> list[Evaluated]:
        over = self._front.over if agent_class(agent).approaches else lambda costs: False
        return [done for done in self.evaluations if done.agent == agent and not over(done.predicted)]


def _at_no_cost(outcome: Outcome) -> Outcome:
    """Returns what another agent's evaluation is for one more: it took no time of its own."""
    return replace(outcome, seconds=0.0)


def _poisonous(job: Job) -> Outcome:
    return Outcome(job, None, 0.0, "", error=f"poisonous: {_DEATHS} workers died of it, one after the other")


def output_folder(config_path: Path) -> Path:
    """Returns where a search writes when it is not told: ``runs/`` and the configuration's name."""
    return Path("runs") / config_path.stem
