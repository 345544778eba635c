"""Optuna's samplers as agents: each keeps the contract, learns, and is the same when it is resumed late."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from automc.agents import Agent, Problem, make_agent
from automc.agents.samplers.gp import GP
from automc.campaigns import SearchConfig
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.front import Front
from automc.campaigns.reports import render_html
from automc.errors import ConfigError
from automc.search_spaces import Policy
from automc.testing import AgentSuite, PlantedProblem, toy_problem, toy_score
from tests.results import make_result

SEEDS = range(3)


class TestGP(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("gp", problem, seed)


class TestCMAES(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("cmaes", problem, seed)


class TestNSGA2(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("nsga2", problem, seed)


def searched(planted: PlantedProblem, agent: Agent, evaluations: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scores of an agent's first policies and their MACs, both (B,)."""
    scores, policies = [], []
    for _ in range(evaluations):
        policy = agent.propose()
        assert policy is not None
        policies.append(planted.problem.space.encode(policy))
        scores.append(planted.score(policy))
        agent.learn(policy, scores[-1])
    return np.array(scores), planted.problem.projection.model.prices(np.stack(policies))["macs"]


@pytest.fixture(scope="module")
def nine() -> PlantedProblem:
    return PlantedProblem(layers=9, options=8)


@pytest.mark.parametrize(
    ("name", "evaluations"), [pytest.param("gp", 40, marks=pytest.mark.slow), ("cmaes", 150), ("nsga2", 400)]
)
def test_each_finds_better_policies_than_random_ones(nine: PlantedProblem, name: str, evaluations: int) -> None:
    """In the mean over seeds, for as many evaluations."""
    best = {
        agent: [searched(nine, make_agent(agent, nine.problem, seed), evaluations)[0].max() for seed in SEEDS]
        for agent in (name, "random")
    }
    assert np.mean(best[name]) > np.mean(best["random"]) + 0.02, best


def test_nsga2_finds_a_front_that_covers_more_than_random_ones(nine: PlantedProblem) -> None:
    """Of the square of scores and MACs below the budget, its policies beat a larger part, with every seed."""
    limit = nine.problem.projection.limits["macs"]
    for seed in SEEDS:
        covered = {}
        for name in ("nsga2", "random"):
            scores, macs = searched(nine, make_agent(name, nine.problem, seed), 200)
            points = np.column_stack([1 - scores, macs / limit])
            covered[name] = compute_hypervolume(points, np.array([1.0, 1.0]))
        assert covered["nsga2"] > covered["random"], covered


@pytest.mark.parametrize(("name", "ahead"), [("cmaes", 1), ("cmaes", 5), ("gp", 2), ("nsga2", 1), ("nsga2", 5)])
def test_a_resumed_agent_goes_on_in_a_later_generation(name: str, ahead: int) -> None:
    """What was under way is skipped, what was learned is told again, some of it failed; nothing else is there."""
    problem = toy_problem("macs<=40%")
    until, after = (20 + ahead, 1) if name == "gp" else (70, 30)

    def score(policy: Policy) -> float | None:
        return None if toy_score(policy) < 0.1 else round(toy_score(policy), 1)  # with ties

    agent = make_agent(name, problem, 1)
    proposals: list[Policy] = []
    for number in range(until + after):
        if number == until:
            resumed = make_agent(name, problem, 1)
            for one in proposals[: number - ahead]:
                resumed.skip(one)
                resumed.learn(one, score(one))
            for one in proposals[number - ahead :]:
                resumed.skip(one)
        if number >= ahead:
            for told in (agent, resumed) if number >= until else (agent,):
                told.learn(proposals[number - ahead], score(proposals[number - ahead]))
        policy = agent.propose()
        assert policy is not None
        assert number < until or resumed.propose() == policy, number
        proposals.append(policy)


def test_proposals_follow_what_was_told() -> None:
    """Of two that were told other scores for the same policies, the next generations differ."""
    for name in ("gp", "cmaes", "nsga2"):
        problem = toy_problem("macs<=60%")
        one, other = (make_agent(name, problem, 0) for _ in range(2))
        generator, policies = np.random.default_rng(0), []
        for _ in range(60):
            policies.append(problem.sample(generator))
            one.learn(policies[-1], toy_score(policies[-1]))
            other.learn(policies[-1], 1 - toy_score(policies[-1]))
        one.proposed = other.proposed = 60
        assert one.propose() != other.propose(), name


def test_gp_forgets_old_policies_but_not_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GP, "keeps", (2, 8))
    planted = PlantedProblem(6, 32)
    generator = np.random.default_rng(0)
    policies = [planted.problem.sample(generator) for _ in range(20)]
    proposals = []
    for old in (policies[2:12], policies[11:1:-1], policies[2:4] * 5):  # nobody reads these
        agent = make_agent("gp", planted.problem, 0)
        agent.proposed = 20
        for place, policy in enumerate([*policies[:2], *old, *policies[12:]]):
            agent.learn(policy, 0.9 if place < 2 else 0.5 * toy_score(policy))
        proposals.append(agent.propose())
    assert proposals[0] == proposals[1] == proposals[2]


def test_nsga2_makes_small_what_it_is_told_to() -> None:
    """With a constant score what is left is the cost: the last policies are far below the first in what was asked."""
    problem = toy_problem("macs<=60%")
    for objectives in (["params"], ["memory", "size"]):
        agent, prices = make_agent("nsga2", problem, 0, objectives=objectives, population=10), []
        for _ in range(80):
            policy = agent.propose()
            assert policy is not None
            prices.append(problem.projection.model.cost(policy).get(objectives[0]))
            agent.learn(policy, 0.5)
        assert np.mean(prices[-20:]) < 0.8 * np.mean(prices[2:20])


@pytest.mark.parametrize(
    ("objectives", "told"),
    [
        (["latency"], "agent_args.objectives: no latency is known here; these are: macs, params, size, memory"),
        (["latensy"], "no objective 'latensy'.*did you mean 'latency'.*there are latency, macs"),
        (["macs", "macs"], "'macs' is there twice"),
        ([], "objectives"),
    ],
)
def test_objectives_that_cannot_be_are_refused(objectives: Sequence[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_agent("nsga2", toy_problem(), 0, objectives=objectives)


def test_a_configuration_says_what_its_front_is_over() -> None:
    asked = SearchConfig(task="digits", budget=("macs<=50%", "size<=50%"), agent="nsga2")
    assert asked.objectives == ("macs",)
    assert asked.model_copy(update={"agent_args": {"objectives": ["size", "memory"]}}).objectives == ("size", "memory")


def test_a_front_over_several_costs_keeps_what_is_best_in_one_of_them() -> None:
    done = [item for item in make_result().evaluations if item.agent == "tpe"]

    def costing(number: int, macs: float, memory: float, score: float = 0.5) -> Evaluated:
        predicted = done[0].predicted
        costs = type(predicted)(macs, predicted.params, predicted.size, None, memory)
        return done[0].model_copy(update={"number": number, "predicted": costs, "score": score})

    evaluated = [costing(0, 10, 3), costing(1, 20, 2), costing(2, 20, 3), costing(3, 30, 3, 0.6)]
    one, several = Front("macs"), Front("macs", more=("memory",))
    for item in evaluated:
        one.add(item)
        several.add(item)
    assert [point.number for point in one.points] == [3, 0]
    assert [point.number for point in several.points] == [3, 0, 1]


def test_the_report_lists_the_agents_front() -> None:
    result = make_result(front=[5, 2], front_over=["macs", "memory"])
    found = {item.number: item for item in result.evaluations if item.agent == "tpe"}
    page = render_html(result)
    section = page[page.index("The front that tpe found") :].split("</section>")[0]
    assert section.count("<tr>") == 3
    assert [f"{100 * found[number].value:.2f}%" in section for number in (5, 2)] == [True, True]
    assert "predicted memory" in section
    assert "The front that" not in render_html(make_result())
