"""Running a search: controls and agent on one problem, then the finalists, then the report."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from automc import progress
from automc.agents import CONTROLS, Agent, Problem, make_agent
from automc.campaigns import checkpoints, events
from automc.campaigns.checkpoints import Memory
from automc.campaigns.config import SearchConfig
from automc.campaigns.journal import Journal
from automc.campaigns.result import Evaluated, Learned, failures
from automc.campaigns.setup import Setup
from automc.costs import Projection
from automc.errors import ConfigError, SearchError, lacking, one_line, users_code
from automc.evaluation import Evaluation, Evaluator
from automc.search_spaces import Policy


class Search:
    """The evaluations of one search.

    Attributes:
        controls: names of the controls.
        agents: names of all that search, controls first.
        digest: of what tells this search from all others.
        evaluations: all of them, so far.
        lessons: what the agent that was asked for took from its own.

    Args:
        config: what was asked for.
        setup: what it stands on.
        journal: where finished evaluations go, and come from when the search is resumed.

    Raises:
        TaskError: the task cannot score its own network.
    """

    def __init__(self, config: SearchConfig, setup: Setup, journal: Journal) -> None:
        self.config, self.setup, self._journal, self.digest = config, setup, journal, journal.digest
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
        self._agents: dict[str, Agent] = {}

    def run(self) -> None:
        """Runs the controls and then the agent, each with as many evaluations as were asked for.

        Raises:
            ConfigError: the agent that was asked for cannot search this; nothing was evaluated yet.
            SearchError: all evaluations of the agent that was asked for failed, or it has nothing to propose.
        """
        asked = self.config.agent
        warmup = getattr(self._make(asked).settings, "warmup", 0)
        if warmup >= self.config.evaluations:
            raise ConfigError(
                f"agent_args.warmup: {asked} begins to learn after {warmup} evaluations, and evaluations is "
                f"{self.config.evaluations}; ask for more of these, or for a shorter warm-up"
            )
        for name in self.agents:
            self._run(name)
        if not self.ranked(asked):
            self._journal.finish()  # there is nothing to go on with
            first = next((done for done in self.evaluations if done.agent == asked), None)
            if first is None:
                raise SearchError(f"{asked} has nothing to propose in this space; choose another agent or space")
            raise SearchError(f"all evaluations of {asked} failed (the first: {first.error}); mend it and search again")

    def _run(self, name: str) -> None:
        """Lets an agent go on from where the journal ends."""
        before = self._recall(name)
        best = self._best(*(done.score for done in before))
        memory = Memory(lambda: self._make(name), name, self._journal.folder / checkpoints.FOLDER, self.digest, before)
        agent = self._agents[name] = memory.agent
        total = agent.proposals or self.config.evaluations
        with self._events(memory, before) as log, progress.bar(f"Searching: {name}", total, agent.proposed) as line:
            for number in range(agent.proposed, total):
                policy = agent.propose()
                if policy is None:
                    break
                try:
                    done = self.evaluate(policy, name, number)
                except KeyboardInterrupt:
                    memory.write()
                    raise
                memory.learn(done)
                if log is not None:
                    log.write(done)
                best = self._best(best, done.score)
                line.advance(f"Searching: {name}" + (f", best {best:.4g}" if best is not None else ""))
        memory.write()
        if name == self.config.agent:
            self.lessons = list(memory.lessons.values())

    def _make(self, name: str) -> Agent:
        settings = self.config.agent_args if name == self.config.agent else {}
        return make_agent(name, self.problem, self.config.seed, **settings)

    def _events(self, memory: Memory, before: list[Evaluated]) -> AbstractContextManager[events.EventLog | None]:
        if not self.config.tensorboard:
            return nullcontext()
        folder = self._journal.folder / events.FOLDER / memory.name
        return events.EventLog(folder, self.digest, self.problem, before, memory.lessons)

    def _recall(self, name: str) -> list[Evaluated]:
        """Returns what an agent had proposed before the search was resumed."""
        before = self._journal.evaluations(name)
        for done in before:
            if done.score is not None:
                self.evaluator.remember(Evaluation(Policy.from_dict(done.policy), done.score, done.seconds))
        proposed = [done for done in before if not done.extra]
        self.evaluations += proposed
        return proposed

    def evaluate(self, policy: Policy, agent: str, number: int, extra: bool = False) -> Evaluated:
        """Scores a policy and commits it to the journal, where it fails too: the search goes on.

        Raises:
            Exception: the machine is out of memory or of disk space. That says nothing about the policy: nothing is
                committed, and a resumed search evaluates it.
        """
        start, score, problem = time.perf_counter(), None, None
        try:
            evaluation = self.evaluator.evaluate(policy)
            score, seconds = evaluation.score, evaluation.seconds
        except Exception as error:
            if lacking(error):
                raise
            problem, seconds = one_line(error), time.perf_counter() - start
        done = Evaluated(
            agent=agent,
            number=number,
            policy=policy.to_dict(),
            score=score,
            predicted=self.setup.costs.cost(policy),
            seconds=seconds,
            extra=extra,
            error=problem,
        )
        self._journal.append(done, *self._agents[agent].parameters(policy))
        if problem is not None and failures(self.evaluations) is None:
            progress.say(f"Evaluation {number} of {agent} failed, the search goes on: {problem}")
        self.evaluations.append(done)
        return done

    def tightened(self, policy: Policy, agent: str, projection: Projection) -> Policy:
        """Returns an agent's policy projected onto tighter budgets, as the agent itself would."""
        space = self.setup.space
        return space.decode(projection.project(space.encode(policy), not self._agents[agent].float_only))

    def ranked(self, agent: str) -> list[Evaluated]:
        """Returns an agent's distinct policies without the failed, best score first, of equal ones the cheapest."""
        own = sorted(
            (done for done in self.evaluations if done.agent == agent and done.score is not None),
            key=lambda done: (-self.problem.merit(done.value), done.predicted.latency or done.predicted.macs),
        )
        return list({Policy.from_dict(done.policy): done for done in reversed(own)}.values())[::-1]

    def _best(self, *scores: float | None) -> float | None:
        return max((score for score in scores if score is not None), key=self.problem.merit, default=None)


def output_folder(config_path: Path) -> Path:
    """Returns where a search writes when it is not told: ``runs/`` and the configuration's name."""
    return Path("runs") / config_path.stem
