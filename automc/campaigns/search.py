"""Searching: controls and agent propose, the best of each are promoted, and ranked at last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from automc.agents import CONTROLS, Agent, Problem, agent_class, make_agent
from automc.campaigns import checkpoints, events
from automc.campaigns.checkpoints import Memory
from automc.campaigns.climb import Climb
from automc.campaigns.config import SearchConfig
from automc.campaigns.course import Course
from automc.campaigns.dispatch import Dispatch
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.findings import Findings
from automc.campaigns.front import Front
from automc.campaigns.journal import Journal
from automc.campaigns.limits import Watch
from automc.campaigns.ranking import ranked
from automc.campaigns.result import Learned
from automc.campaigns.sensing import for_search
from automc.campaigns.setup import Setup
from automc.campaigns.workers import Job, Workers
from automc.campaigns.workers.local import evaluated
from automc.costs import Projection
from automc.devices import Timing
from automc.errors import ConfigError, SearchError, users_code
from automc.evaluation import Evaluator
from automc.search_spaces import Policy


class NothingFound(SearchError):
    """A search has no result, and nothing to go on with."""


class Search:
    """The evaluations of one search.

    Attributes:
        controls: names of the controls.
        agents: names of all that search, controls first.
        digest: of what tells this search from all others.
        sensitivities: how much each option hurts, and where that is from; None where no agent asks.
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
        self.lessons: list[Learned] = []
        self.stopped: str | None = None
        self._courses: dict[str, Course] = {}
        front = self.front(setup.projection.limits)
        self._findings = Findings(front, setup.costs, self.evaluator.fidelities, config.seed)

    @property
    def evaluations(self) -> list[Evaluated]:
        """All that have ended, so far."""
        return self._findings.evaluations

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
        spent = self.sensitivities.spent if self.sensitivities else 0.0
        watch = Watch(self.config.limits, asked, self.front({}), seconds, spent)
        dispatch = Dispatch(self._courses, workers, self._findings, watch, orphaned)
        ended = False
        try:
            dispatch.run("Searching", sum(self._counts(name)[0] for name in self.agents), asked_to_stop)
            self.stopped = dispatch.stopped
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
            own = [done for done in self._findings.of(name) if done.rung == rung - 1]
            best = [one.policy for one in ranked(own, self.problem.merit)[:keep]]
            climbs[name] = Climb(name, rung, best, self._journal, course.total)
        dispatch = Dispatch(climbs, workers, self._findings, orphaned=orphaned)
        title = f"Promoting to rung {rung} ({self.evaluator.fidelities[rung]})"
        dispatch.run(title, sum(climb.total for climb in climbs.values()), asked_to_stop)
        return not asked_to_stop()

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

    def evaluate_extra(self, policy: Policy, agent: str) -> Evaluated:
        """Scores a policy that no agent proposed by itself, at the last rung, in this process, and commits it.

        Raises:
            Exception: the machine is out of memory or of disk space. That says nothing about the policy: nothing is
                committed, and a resumed search evaluates it.
        """
        for row in self._journal.evaluations(agent):
            if row.extra and row.policy == policy:
                if row not in self.evaluations:  # a session before this one has evaluated it
                    self.evaluations.append(row)
                return row
        begun = self._journal.begun(agent)
        number = next((one.number for one in begun if one.extra and one.policy == policy), None)
        if number is None:
            number = self._journal.free(agent, self._courses[agent].total)
        job = Job(agent, number, policy, len(self.config.rungs))
        parameters = self._courses[agent].agent.parameters(policy)
        self._journal.begin(agent, number, policy, True, *parameters, rung=job.rung)
        outcome = self._findings.known(job) or evaluated(self.evaluator, job)
        done = self._findings.evaluated(job, outcome, extra=True)
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
        return ranked(self._findings.of(agent), self.problem.merit)
