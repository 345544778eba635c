"""Every agent that ships keeps the contract."""

import pytest

from automc.agents import AGENTS, Agent, Problem, make_agent
from automc.errors import ConfigError
from automc.search_spaces import Policy
from automc.testing import AgentSuite, toy_problem, toy_score


class TestUniform(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("uniform", problem, seed)


class TestUniformInt8(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("uniform+int8", problem, seed)


class TestInt8(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("int8", problem, seed)


class TestRandom(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("random", problem, seed)


class TestTPE(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("tpe", problem, seed)


def test_every_agent_has_its_suite() -> None:
    learning = {"amc", "ddpg", "haq", "ppo", "sac", "td3"}  # in test_learning_agents.py
    assert set(AGENTS) - learning == {"int8", "uniform", "uniform+int8", "random", "tpe"}, "a new agent needs a class"


def test_an_unknown_agent_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown agent 'tpee'.*did you mean 'tpe'"):
        make_agent("tpee", toy_problem(), 0)


def test_uniform_proposes_once() -> None:
    agent = make_agent("uniform", toy_problem("macs<=40%"), 0)
    assert agent.propose() is not None
    assert agent.propose() is None


def test_random_proposals_depend_on_the_seed() -> None:
    problem = toy_problem("macs<=60%")
    one, other = (make_agent("random", problem, seed) for seed in (0, 1))
    assert [one.propose() for _ in range(5)] != [other.propose() for _ in range(5)]


def test_tpe_proposes_the_uniform_policies_first() -> None:
    problem = toy_problem("macs<=40%")
    agent = make_agent("tpe", problem, 0)
    assert [agent.propose(), agent.propose()] == [problem.uniform(), problem.uniform_int8()]


def test_uniform_stays_in_float_and_its_twin_does_not() -> None:
    problem = toy_problem("size<=60%")
    one, other = (make_agent(name, problem, 0).propose() for name in ("uniform", "uniform+int8"))
    assert one is not None and other is not None
    assert {choice.weight_bits for choice in one.values()} == {None, 32}
    assert {choice.weight_bits for choice in other.values()} == {None, 8}
    assert other["layer3.0.conv1"].channels == 16, "int8 alone keeps this budget: no width had to fall"
    assert one["layer3.0.conv1"].channels != 16


def test_int8_everywhere_is_proposed_whatever_the_budget() -> None:
    policy = make_agent("int8", toy_problem("macs<=40%"), 0).propose()
    assert policy is not None
    assert all(choice.weight_bits == 8 for unit, choice in policy.items() if choice.weight_bits)
    assert policy["layer3.0.conv1"].channels == 16


def test_a_space_without_bits_has_no_int8_controls() -> None:
    problem = toy_problem("macs<=40%", bits=False)
    for name in ("int8", "uniform+int8"):
        assert make_agent(name, problem, 0).propose() is None


def test_tpe_learns_where_scores_are_high() -> None:
    """After many trials its proposals score better than the first random ones, on a score that rewards one width."""
    problem = toy_problem("macs<=70%")

    def score(policy: Policy) -> float:
        return -float(policy["layer3.0.conv1"].channels or 0)

    agent = make_agent("tpe", problem, 0)
    scores = []
    for _ in range(60):
        policy = agent.propose()
        assert policy is not None
        scores.append(score(policy))
        agent.learn(policy, scores[-1])
    assert sum(scores[-15:]) > sum(scores[1:16])


def test_tpe_learns_nothing_from_failures_but_what_not_to_propose() -> None:
    problem = toy_problem("macs<=60%")
    one, other = make_agent("tpe", problem, 0), make_agent("tpe", problem, 0)
    elsewhere = make_agent("random", problem, 9)
    for _ in range(20):
        policy, failed = one.propose(), elsewhere.propose()
        assert policy is not None
        assert failed is not None
        assert other.propose() == policy
        other.learn(failed, None)
        for agent in (one, other):
            agent.learn(policy, toy_score(policy))


def test_an_agent_with_nothing_left_but_failures_ends() -> None:
    problem = toy_problem("macs<=40%")
    agent = make_agent("uniform", problem, 0)
    agent.learn(problem.uniform(), None)
    assert agent.propose() is None


def test_an_agent_that_was_told_other_scores_proposes_otherwise() -> None:
    problem = toy_problem("macs<=60%")
    one, other = make_agent("tpe", problem, 0), make_agent("tpe", problem, 0)
    for number in range(20):
        for agent, sign in ((one, 1.0), (other, -1.0)):
            policy = agent.propose()
            assert policy is not None
            agent.learn(policy, sign * toy_score(policy) + number * 1e-9)
    assert one.propose() != other.propose()
