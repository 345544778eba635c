"""What every agent promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import pytest

from automc.agents import Agent, Problem
from automc.search_spaces import Policy
from automc.testing.problems import toy_problem, toy_score

_PROPOSALS = 12


class AgentSuite(ABC):
    """Subclass it as ``TestMyAgent`` and give `make`; pytest runs the rest.

    Example::

        class TestMyAgent(AgentSuite):
            def make(self, problem, seed):
                return MyAgent(problem, seed)
    """

    @abstractmethod
    def make(self, problem: Problem, seed: int) -> Agent:
        """Returns the agent under test."""

    @pytest.fixture(scope="class")
    def problem(self) -> Problem:
        """A problem with a budget that most policies exceed."""
        return toy_problem("macs<=40%")

    def run(self, agent: Agent, n: int = _PROPOSALS, failing: bool = False) -> list[Policy]:
        """Returns up to n proposals, each learned before the next; where asked for, some fail."""
        policies = []
        for _ in range(n):
            policy = agent.propose()
            if policy is None:
                break
            policies.append(policy)
            agent.learn(policy, _score(policy, failing))
        return policies

    def test_proposes_something(self, problem: Problem) -> None:
        """An agent without a proposal is none."""
        assert self.make(problem, 0).propose() is not None

    def test_proposes_no_more_than_it_says(self, problem: Problem) -> None:
        """Who runs a search counts on it."""
        agent = self.make(problem, 0)
        most = agent.proposals
        assert most is None or len(self.run(agent, most + 1)) <= most

    def test_same_seed_same_proposals(self, problem: Problem) -> None:
        """The seed decides."""
        assert self.run(self.make(problem, 3)) == self.run(self.make(problem, 3))

    def test_does_not_repeat_what_it_learned(self, problem: Problem) -> None:
        """An evaluation is not spent on a policy whose score is known."""
        policies = self.run(self.make(problem, 4))
        assert len(set(policies)) == len(policies)

    def test_a_failed_policy_is_not_proposed_again(self, problem: Problem) -> None:
        """Not even where the same numbers are drawn, or nothing else is left."""
        policies = self.run(self.make(problem, 9))
        again = self.make(problem, 9)
        for policy in policies:
            again.learn(policy, None)
        assert not set(self.run(again)) & set(policies)

    @pytest.mark.parametrize("budgets", [("macs<=40%",), ("params<=30%", "macs<=60%"), ("size<=40KB",)])
    def test_every_proposal_keeps_the_budgets(self, budgets: Sequence[str]) -> None:
        """No proposal is over any budget, exactly."""
        problem = toy_problem(*budgets)
        agent = self.make(problem, 1)
        if agent.reference or agent.approaches:
            pytest.skip("it proposes what others are compared with, or comes from above")
        policies = self.run(agent)
        costs = [problem.projection.model.cost(policy) for policy in policies]
        for metric, limit in problem.projection.limits.items():
            assert all(cost.get(metric) <= limit for cost in costs)

    def test_proposals_are_policies_of_the_space(self, problem: Problem) -> None:
        """Each has a choice for every unit, in its canonical form."""
        for policy in self.run(self.make(problem, 2)):
            assert problem.space.decode(problem.space.encode(policy)) == policy

    @pytest.mark.parametrize("failing", [False, True])
    def test_goes_on_as_undisturbed_when_told_again(self, problem: Problem, failing: bool) -> None:
        """An agent that replays another's proposals and scores proposes what the other would have next."""
        undisturbed = self.run(self.make(problem, 5), failing=failing)
        half = len(undisturbed) // 2
        resumed = self.make(problem, 5)
        self.run(resumed, half, failing)
        assert undisturbed[half:] == self.run(resumed, len(undisturbed) - half, failing)

    @pytest.mark.parametrize("failing", [False, True])
    def test_a_resumed_agent_need_not_propose_again(self, problem: Problem, failing: bool) -> None:
        """Skipping the old proposals and telling their scores is enough: nothing is computed twice."""
        undisturbed = self.run(self.make(problem, 6), failing=failing)
        half = len(undisturbed) // 2
        resumed = self.make(problem, 6)
        for policy in undisturbed[:half]:
            resumed.skip(policy)
            resumed.learn(policy, _score(policy, failing))
        assert undisturbed[half:] == self.run(resumed, len(undisturbed) - half, failing)

    def test_several_proposals_may_be_under_way(self, problem: Problem) -> None:
        """Proposing before learning works, and what is learned late is taken."""
        agent = self.make(problem, 7)
        policies = [policy for policy in (agent.propose() for _ in range(4)) if policy is not None]
        for policy in policies:
            agent.learn(policy, toy_score(policy))
        following = agent.propose()
        if following is not None:
            policies.append(following)
        indices = np.stack([problem.space.encode(policy) for policy in policies])
        assert agent.reference or agent.approaches or problem.projection.fits(indices).all()

    def test_minimizes_where_lower_is_better(self) -> None:
        """A score to be minimized is no error."""
        problem = toy_problem("macs<=40%", higher_is_better=False)
        assert self.run(self.make(problem, 8))


def _score(policy: Policy, failing: bool) -> float | None:
    score = toy_score(policy)
    return None if failing and score < 0.4 else score
