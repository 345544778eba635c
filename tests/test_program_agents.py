"""The agent of the integer program."""

import numpy as np
import pytest

from automc.agents import Agent, Problem, make_agent
from automc.agents.program import Program
from automc.errors import ConfigError
from automc.testing import AgentSuite, toy_problem


class TestIntegerProgram(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("ilp", problem, seed, seconds=300)  # on however busy a machine


def test_it_proposes_the_optimum_and_tells_how_far_it_came() -> None:
    problem = toy_problem("macs<=40%")
    agent = make_agent("ilp", problem, 0)
    assert problem.sensitivities is not None
    solution = Program(problem.projection).solve(problem.sensitivities.harms)
    policy = agent.propose()
    assert policy is not None
    assert np.array_equal(problem.space.encode(policy), solution.index)
    assert agent.propose() is None
    agent.learn(policy, 0.5)
    (lesson,) = agent.lessons
    assert (lesson.policy, lesson.reward) == (policy, 0.5)
    assert set(lesson.figures) == {"objective", "gap", "seconds"}
    assert lesson.figures["objective"] == solution.objective
    resumed = make_agent("ilp", problem, 0)
    resumed.skip(policy)
    resumed.learn(policy, 0.5)
    assert resumed.lessons[0].figures["objective"] == solution.objective


def test_out_of_time_it_says_so_and_proposes_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    problem = toy_problem("size<=30%", "macs<=50%")
    agent = make_agent("ilp", problem, 0, seconds=0)
    policy = agent.propose()
    assert policy is not None
    assert problem.projection.fits(problem.space.encode(policy)[None])[0]
    assert "integer program: stopped after" in capsys.readouterr().err
    agent.learn(policy, 0.5)
    assert agent.lessons[0].figures["objective"] > 0


def test_a_failed_optimum_is_no_lesson() -> None:
    agent = make_agent("ilp", toy_problem("macs<=40%"), 0)
    policy = agent.propose()
    assert policy is not None
    agent.learn(policy, None)
    assert not agent.lessons


def test_a_budget_of_memory_is_refused_with_who_can_keep_it() -> None:
    with pytest.raises(ConfigError, match=r"ilp cannot keep a budget of memory; these can: .*random.*uniform"):
        make_agent("ilp", toy_problem("memory<=80%", "macs<=60%"), 0)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="seconds"):
        make_agent("ilp", toy_problem(), 0, seconds=-1)
