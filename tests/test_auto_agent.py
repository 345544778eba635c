"""The default agent: integer programs whose harms are learned."""

from dataclasses import replace

import numpy as np
import pytest

from automc.agents import Agent, Problem, make_agent
from automc.search_spaces import Policy
from automc.sensitivities import Sensitivities
from automc.testing import AgentSuite, PlantedProblem, toy_problem

EVALUATIONS = 20


class TestAuto(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("auto", problem, seed)


class Misjudged:
    """A planted problem whose sensitivities are off by a factor of its own for each axis.

    Args:
        seed: of what layers need, and of how far sensitivities are off.
    """

    def __init__(self, seed: int) -> None:
        planted = PlantedProblem(8, 12, seed)
        space = planted.problem.space
        harms = tuple(np.linspace(1, 0, size) ** 2 for size in space.sizes.tolist())
        true = np.exp(0.7 * np.random.default_rng(seed).standard_normal(len(harms)))
        self._true = [factor * harm for factor, harm in zip(true, harms, strict=True)]
        measured = tuple(np.ones(len(harm), dtype=bool) for harm in harms)
        self.problem = replace(planted.problem, sensitivities=Sensitivities(space, harms, measured))

    def change(self, policy: Policy) -> float:
        """Returns how far outputs are from the original's."""
        index = self.problem.space.encode(policy)
        return float(sum(harm[option] for harm, option in zip(self._true, index, strict=True)))

    def least(self, name: str) -> float:
        """Returns the least change that an agent finds."""
        agent, found = make_agent(name, self.problem, 0), []
        for _ in range(EVALUATIONS):
            policy = agent.propose()
            if policy is None:
                break
            found.append(self.change(policy))
            agent.learn(policy, 1 - found[-1], found[-1])
        return min(found)


@pytest.fixture(scope="module")
def problems() -> list[Misjudged]:
    return [Misjudged(seed) for seed in range(3)]


def test_the_first_proposal_is_the_program_by_sensitivities() -> None:
    problem = toy_problem("macs<=40%")
    assert make_agent("auto", problem, 0).propose() == make_agent("ilp", problem, 0).propose()


@pytest.mark.parametrize("other", ["ilp", "random", "tpe"])
def test_it_finds_better_policies_where_sensitivities_are_off(problems: list[Misjudged], other: str) -> None:
    assert all(problem.least("auto") < problem.least(other) for problem in problems)


def test_what_it_expects_comes_near_to_what_it_finds(problems: list[Misjudged]) -> None:
    problem = problems[0]
    agent = make_agent("auto", problem.problem, 0)
    for _ in range(EVALUATIONS):
        policy = agent.propose()
        assert policy is not None
        agent.learn(policy, 0.5, problem.change(policy))
    off = [abs(one.figures["expected"] / one.figures["change"] - 1) for one in agent.lessons[1:]]
    assert np.mean(off[-5:]) < np.mean(off[:5])


def test_without_changes_it_learns_from_scores() -> None:
    problem = toy_problem("macs<=40%")
    agent = make_agent("auto", problem, 0)
    first = agent.propose()
    assert first is not None
    agent.learn(first, 0.5)
    assert agent.lessons[0].figures["change"] == pytest.approx(-0.5)


def test_it_keeps_budgets_of_memory_too() -> None:
    problem = toy_problem("memory<=80%", "macs<=60%")
    agent = make_agent("auto", problem, 0)
    policies = [agent.propose() for _ in range(3)]
    indices = np.stack([problem.space.encode(policy) for policy in policies if policy is not None])
    assert len(indices) == 3
    assert problem.projection.fits(indices).all()
