"""Running a search: controls and agent on one problem, then the finalists, then the report."""

from __future__ import annotations

from pathlib import Path

from automc import progress
from automc.agents import CONTROLS, Problem, make_agent
from automc.campaigns.config import SearchConfig
from automc.campaigns.result import Evaluated
from automc.campaigns.setup import Setup
from automc.evaluation import Evaluator
from automc.search_spaces import Policy


class Search:
    """The evaluations of one search.

    Args:
        config: what was asked for.
        setup: what it stands on.
    """

    def __init__(self, config: SearchConfig, setup: Setup) -> None:
        self.config, self.setup = config, setup
        subject = setup.subject
        self.evaluator = Evaluator(subject.task, subject.model, subject.graph, config.fidelity, config.seed)
        self.problem = Problem(setup.space, setup.projection, subject.task.higher_is_better)
        self.evaluations: list[Evaluated] = []

    def run(self) -> None:
        """Runs the controls and then the agent, each with as many evaluations as were asked for."""
        for name in dict.fromkeys((*CONTROLS, self.config.agent)):
            agent = make_agent(name, self.problem, self.config.seed)
            total = 1 if name == "uniform" else self.config.evaluations
            best: float | None = None
            with progress.bar(f"Searching: {name}", total) as line:
                for number in range(total):
                    policy = agent.propose()
                    if policy is None:
                        break
                    done = self.evaluate(policy, name, number)
                    agent.learn(policy, done.score)
                    best = done.score if best is None else self.better(best, done.score)
                    line.advance(f"Searching: {name}, best {best:.4g}")

    def evaluate(self, policy: Policy, agent: str, number: int, extra: bool = False) -> Evaluated:
        """Scores a policy and notes it down."""
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
        self.evaluations.append(done)
        return done

    def better(self, one: float, other: float) -> float:
        """Returns the better of two scores."""
        return max(one, other) if self.problem.higher_is_better else min(one, other)

    def ranked(self, agent: str) -> list[Evaluated]:
        """Returns an agent's distinct policies, best score first, of equal ones the cheapest first."""
        sign = -1 if self.problem.higher_is_better else 1
        own = sorted(
            (done for done in self.evaluations if done.agent == agent),
            key=lambda done: (sign * done.score, done.predicted.latency or done.predicted.macs),
        )
        return list({Policy.from_dict(done.policy): done for done in reversed(own)}.values())[::-1]


def output_folder(config_path: Path) -> Path:
    """Returns where a search writes when it is not told: ``runs/`` and the configuration's name."""
    return Path("runs") / config_path.stem
