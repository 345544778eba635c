"""Running a search: controls and agent on one problem, then the finalists, then the report."""

from __future__ import annotations

from pathlib import Path

from automc import progress
from automc.agents import CONTROLS, Agent, Problem, make_agent
from automc.campaigns.config import SearchConfig
from automc.campaigns.journal import Journal
from automc.campaigns.result import Evaluated
from automc.campaigns.setup import Setup
from automc.evaluation import Evaluation, Evaluator
from automc.search_spaces import Policy


class Search:
    """The evaluations of one search.

    Attributes:
        controls: names of the controls.
        agents: names of all that search, controls first.

    Args:
        config: what was asked for.
        setup: what it stands on.
        journal: where finished evaluations go, and come from when the search is resumed.
    """

    def __init__(self, config: SearchConfig, setup: Setup, journal: Journal) -> None:
        self.config, self.setup, self._journal = config, setup, journal
        self.controls: tuple[str, ...] = CONTROLS
        self.agents = tuple(dict.fromkeys((*CONTROLS, config.agent)))
        subject = setup.subject
        self.evaluator = Evaluator(subject.task, subject.model, subject.graph, config.fidelity, config.seed)
        self.problem = Problem(setup.space, setup.projection, subject.task.higher_is_better)
        self.evaluations: list[Evaluated] = []

    def run(self) -> None:
        """Runs the controls and then the agent, each with as many evaluations as were asked for."""
        for name in self.agents:
            agent = make_agent(name, self.problem, self.config.seed)
            total = agent.proposals or self.config.evaluations
            best = self._recall(name, agent)
            with progress.bar(f"Searching: {name}", total, done=agent.proposed) as line:
                for number in range(agent.proposed, total):
                    policy = agent.propose()
                    if policy is None:
                        break
                    done = self.evaluate(policy, name, number)
                    agent.learn(policy, done.score)
                    best = self._best(best, done.score)
                    line.advance(f"Searching: {name}, best {best:.4g}")

    def _recall(self, name: str, agent: Agent) -> float | None:
        """Tells an agent what it had found before the search was resumed; returns the best score of that."""
        best: float | None = None
        for done in self._journal.evaluations(name):
            policy = Policy.from_dict(done.policy)
            self.evaluator.remember(Evaluation(policy, done.score, done.seconds))
            if not done.extra:
                self.evaluations.append(done)
                agent.learn(policy, done.score)
                agent.proposed += 1
                best = self._best(best, done.score)
        return best

    def evaluate(self, policy: Policy, agent: str, number: int, extra: bool = False) -> Evaluated:
        """Scores a policy and commits it to the journal."""
        evaluation = self.evaluator.evaluate(policy)
        done = Evaluated(
            agent=agent,
            number=number,
            policy=policy.to_dict(),
            score=evaluation.score,
            predicted=self.setup.costs.cost(policy),
            seconds=evaluation.seconds,
            extra=extra,
        )
        self._journal.append(done)
        self.evaluations.append(done)
        return done

    def ranked(self, agent: str) -> list[Evaluated]:
        """Returns an agent's distinct policies, best score first, of equal ones the cheapest first."""
        own = sorted(
            (done for done in self.evaluations if done.agent == agent),
            key=lambda done: (-self.problem.merit(done.score), done.predicted.latency or done.predicted.macs),
        )
        return list({Policy.from_dict(done.policy): done for done in reversed(own)}.values())[::-1]

    def _best(self, best: float | None, score: float) -> float:
        return score if best is None else max(best, score, key=self.problem.merit)


def output_folder(config_path: Path) -> Path:
    """Returns where a search writes when it is not told: ``runs/`` and the configuration's name."""
    return Path("runs") / config_path.stem
