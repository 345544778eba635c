"""What a search has found so far."""

from __future__ import annotations

from automc.agents import agent_class
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.front import Front
from automc.campaigns.workers import Job, Outcome
from automc.costs import CostModel
from automc.evaluation import Fidelity
from automc.search_spaces import Policy


class Findings:
    """The evaluations of a search that have ended.

    Attributes:
        evaluations: all of them, those that failed too.
        front: the best of them.

    Args:
        front: an empty one, within the budgets.
        costs: what prices policies.
        fidelities: of the rungs.
        seed: of the search.
    """

    def __init__(self, front: Front, costs: CostModel, fidelities: tuple[Fidelity, ...], seed: int) -> None:
        self.evaluations: list[Evaluated] = []
        self.front = front
        self._costs, self._fidelities, self._seed = costs, fidelities, seed
        self._known: dict[tuple[Policy, int], Outcome] = {}

    @property
    def failed(self) -> bool:
        """Whether any of them failed."""
        return any(done.score is None for done in self.evaluations)

    def add(self, done: Evaluated) -> None:
        """Takes one more, which others need not evaluate again."""
        self.evaluations.append(done)
        self.front.add(done)
        if done.score is not None:
            job = Job(done.agent, done.number, done.policy, done.rung)
            outcome = Outcome(job, done.score, done.seconds, done.worker, done.versions, done.change, done.spread)
            self._known.setdefault(job.what, outcome)

    def known(self, job: Job) -> Outcome | None:
        """Returns what came of the same policy at the same rung, whoever proposed it; None where nothing did yet."""
        return self._known.get(job.what)

    def of(self, agent: str) -> list[Evaluated]:
        """Returns an agent's evaluations; of one from above, without those over the budgets, which are no results."""
        over = self.front.over if agent_class(agent).approaches else lambda costs: False
        return [done for done in self.evaluations if done.agent == agent and not over(done.predicted)]

    def evaluated(self, job: Job, outcome: Outcome, extra: bool = False) -> Evaluated:
        """Returns a job, and what became of it, as an evaluation that has ended."""
        return Evaluated(
            agent=job.agent,
            number=job.number,
            policy=job.policy,
            score=outcome.score,
            predicted=self._costs.cost(job.policy),
            seconds=outcome.seconds,
            change=outcome.change,
            spread=outcome.spread,
            extra=extra,
            rung=job.rung,
            error=outcome.error,
            worker=outcome.worker,
            seed=self._seed,
            fidelity=self._fidelities[job.rung],
            versions=dict(outcome.versions),
        )
