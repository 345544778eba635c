"""Every agent that ships keeps the contract."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from automc.agents import AGENTS, Agent, Problem, make_agent, tpe
from automc.costs import Budget, CostModel, Projection
from automc.errors import ConfigError
from automc.search_spaces import Policy, SpaceConfig, build_space
from automc.testing import AgentSuite, PlantedProblem, toy_problem, toy_score

BITS = (2, 3, 4, 6, 8)


def bits_problem(*budgets: str, higher_is_better: bool = True) -> Problem:
    """The network of the toy problem with every pair of some bits, simulated, beside widths and blocks."""
    graph = toy_problem().projection.model.graph
    space = build_space(graph, SpaceConfig(channel_multiple=2, bits=BITS, simulate=True), 2, ((8, 8), (32, 32)))
    projection = Projection(CostModel(graph, space), [Budget.parse(text) for text in budgets])
    return Problem(space, projection, higher_is_better)


class TestUniform(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("uniform", problem, seed)


class TestUniformInt8(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("uniform+int8", problem, seed)


class TestUniformBits(AgentSuite):
    @pytest.fixture(scope="class")
    def problem(self) -> Problem:
        return bits_problem("size<=20%")

    @pytest.mark.parametrize("budgets", [("size<=9KB",), ("size<=15%", "macs<=60%"), ("size<=25%",)])
    def test_every_proposal_keeps_the_budgets(self, budgets: Sequence[str]) -> None:
        problem = bits_problem(*budgets)
        policy = self.make(problem, 1).propose()
        assert policy is not None
        assert problem.projection.fits(problem.space.encode(policy)[None])[0]

    def test_minimizes_where_lower_is_better(self) -> None:
        assert self.run(self.make(bits_problem("size<=20%", higher_is_better=False), 8))

    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("uniform-bits", problem, seed)


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
    known = {"ilp"}  # in test_program_agents.py
    known |= {"int8", "uniform", "uniform+int8", "uniform-bits", "random", "tpe"}
    assert set(AGENTS) - learning == known, "a new agent needs a class above"


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


def alike(policy: Policy, bits: int) -> Policy:
    """A policy with all of its layers at the same bits."""
    return Policy(
        {
            unit: replace(choice, weight_bits=bits, activation_bits=bits) if choice.weight_bits else choice
            for unit, choice in policy.items()
        }
    )


@pytest.mark.parametrize("percent", [10, 13, 18, 25])
def test_uniform_bits_are_the_most_that_fit(percent: int) -> None:
    problem = bits_problem(f"size<={percent}%")
    policy = make_agent("uniform-bits", problem, 0).propose()
    assert policy is not None
    bits = policy["linear"].weight_bits
    assert bits is not None
    original = problem.space.decode(problem.space.full)
    assert policy == alike(original, bits)
    more = alike(original, next(width for width in (*BITS, 32) if width > bits))
    assert not problem.projection.fits(problem.space.encode(more)[None])[0]


def test_where_the_fewest_bits_do_not_fit_widths_shrink_too() -> None:
    problem = bits_problem("size<=7%")
    policy = problem.uniform_bits()
    assert policy is not None
    assert policy["layer3.0.conv1"].channels != 16
    assert problem.projection.fits(problem.space.encode(policy)[None])[0]


def test_uniform_bits_that_a_layer_lacks_are_the_most_below() -> None:
    base = bits_problem()
    options = {"conv1": ((8, 8), (32, 32)), "linear": ((2, 2), (3, 3), (3, 4), (6, 8), (32, 32))}
    axes = [
        replace(axis, options=options[axis.unit]) if axis.field == "bits" and axis.unit in options else axis
        for axis in base.space.axes
    ]
    space = replace(base.space, axes=tuple(axes))
    costs = CostModel(base.projection.model.graph, space)
    budget = Budget.parse("size<=21%")
    policy = Problem(space, Projection(costs, [budget])).uniform_bits()
    assert policy is not None
    assert policy["layer1.0.conv1"].weight_bits == policy["layer1.0.conv1"].activation_bits == 6
    assert (policy["linear"].weight_bits, policy["linear"].activation_bits) == (3, 4)
    assert (policy["conv1"].weight_bits, policy["conv1"].activation_bits) == (8, 8)


def test_a_space_without_bits_has_no_int8_controls() -> None:
    problem = toy_problem("macs<=40%", bits=False)
    for name in ("int8", "uniform+int8", "uniform-bits"):
        assert make_agent(name, problem, 0).propose() is None


def test_a_space_of_int8_only_has_no_uniform_bits_beside_uniform_int8() -> None:
    assert make_agent("uniform-bits", toy_problem("macs<=40%"), 0).propose() is None


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


def test_tpe_forgets_old_policies_but_not_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it proposes depends on the 25 best and the latest of all it was told, and on none of the others."""
    monkeypatch.setattr(tpe, "_RECENT", 60)  # 500 take a while
    problem = PlantedProblem(6, 32).problem  # so large that no policy is proposed twice
    generator = np.random.default_rng(0)
    policies = [problem.sample(generator) for _ in range(170)]
    best, latest, old = policies[:25], policies[25:85], policies[85:]
    nearby = [problem.policy(problem.space.encode(best[n % 8]) ^ (np.arange(6) == n % 6)) for n in range(85)]
    proposals = []
    for forgotten, stands_out in ((old, 1), (nearby, 1), (old, 0)):
        agent = make_agent("tpe", problem, 0)
        agent.proposed = 170
        for policy in best:
            agent.learn(policy, stands_out + toy_score(policy) / 2)
        for policy in [*forgotten, *latest]:
            agent.learn(policy, toy_score(policy) / 2)
        proposals.append([agent.propose() for _ in range(8)])
    assert proposals[0] == proposals[1]
    assert proposals[0] != proposals[2]


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


def test_random_bits_of_weights_and_activations_are_apart() -> None:
    problem = bits_problem("size<=18%")
    agent = make_agent("random", problem, 0)
    policies = [policy for policy in (agent.propose() for _ in range(8)) if policy is not None]
    pairs = {(choice.weight_bits, choice.activation_bits) for policy in policies for choice in policy.values()}
    assert {(2, 8), (8, 2)} <= pairs
    prices = problem.projection.model.prices(np.stack([problem.space.encode(policy) for policy in policies]))["size"]
    assert (prices <= problem.projection.limits["size"]).all()
    assert np.median(prices) > 0.95 * problem.projection.limits["size"]  # what had to shrink was raised again
