"""Evolution, NetAdapt and greedy: the contract, and that each finds what it is for."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from automc.agents import Agent, Problem, make_agent
from automc.costs import Budget, Projection
from automc.errors import ConfigError
from automc.search_spaces import Policy
from automc.sensitivities import Sensitivities
from automc.testing import AgentSuite, PlantedProblem, toy_problem, toy_score

MANY = ("macs<=60%", "params<=40%")


class TestEvolution(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent(
            "evolution", problem, seed, population=4, parents=2
        )  # most of the suite's proposals are children


class TestNetAdapt(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("netadapt", problem, seed, step=0.2)


class TestNetAdaptWithFewCandidates(AgentSuite):
    """Where no sensitivities say which axes are worth trying."""

    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("netadapt", replace(problem, sensitivities=None), seed, step=0.1, candidates=3)


class TestGreedy(AgentSuite):
    def make(self, problem: Problem, seed: int) -> Agent:
        return make_agent("greedy", problem, seed)


@cache
def whole() -> Problem:
    return toy_problem()


def toy(*budgets: str) -> Problem:
    """The toy problem under other budgets, its network read once."""
    base = whole()
    return replace(base, projection=Projection(base.projection.model, [Budget.parse(text) for text in budgets or MANY]))


@cache
def planted(layers: int, options: int, seed: int = 0) -> PlantedProblem:
    return PlantedProblem(layers, options, seed)


def best(problem: PlantedProblem, name: str, seed: int, evaluations: int = 120) -> float:
    """Returns the best score of what keeps the budget, as a search would."""
    agent, scores = make_agent(name, problem.problem, seed), [0.0]
    for _ in range(evaluations):
        policy = agent.propose()
        if policy is None:
            break
        agent.learn(policy, problem.score(policy))
        scores += [problem.score(policy)] if fits(problem.problem, policy) else []
    return max(scores)


def fits(problem: Problem, policy: Policy) -> bool:
    return bool(problem.projection.fits(problem.space.encode(policy)[None])[0])


def test_evolution_beats_random_because_it_learns() -> None:
    problem = planted(12, 8)
    found, by_random = ([best(problem, name, seed) for seed in range(3)] for name in ("evolution", "random"))
    assert np.mean(found) > np.mean(by_random) + 0.1, (found, by_random)
    assert all(own > other for own, other in zip(found, by_random, strict=True))


def test_children_of_evolution_are_like_their_parents_and_use_the_budget() -> None:
    problem = planted(12, 8).problem
    agent = make_agent("evolution", problem, 0, parents=2, rate=0.05)
    generator = np.random.default_rng(9)
    good = [problem.sample(generator) for _ in range(2)]
    for policy in good:
        agent.learn(policy, 1.0)
    for policy in (problem.sample(generator) for _ in range(10)):
        agent.learn(policy, 0.0)
    agent.proposed = 10
    parents = np.stack([problem.space.encode(policy) for policy in good])
    children = np.stack([problem.space.encode(policy) for policy in (agent.propose() for _ in range(10)) if policy])
    different = (children[:, None] != parents).all(axis=1).sum(axis=1)
    assert np.median(different) <= 2
    shares = problem.projection.excess(children)
    assert (shares <= 1).all() and np.median(shares) >= 0.95


@pytest.mark.parametrize("settings", [{"population": 1}, {"rate": 0}, {"mutants": 1.5}, {"generations": 3}])
def test_settings_of_evolution_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        make_agent("evolution", planted(3, 4).problem, 0, **settings)


def netadapt_by_hand(problem: Problem, metric: str, step: float, decay: float) -> list[Policy]:
    """What NetAdapt proposes as published, beside what each start is projected to, priced one by one."""
    space, limit = problem.space, problem.projection.limits[metric]
    start, share, proposals = space.full, step, list[Policy]()

    def cost(index: np.ndarray) -> float:
        return problem.projection.model.cost(space.decode(index)).get(metric)

    while cost(start) > limit:
        proposals.append(problem.policy(start))
        target = max(cost(start) - share * cost(space.full), limit)
        candidates = []
        for axis in range(len(space.axes)):
            for option in reversed(range(space.canonical(start)[axis])):
                index = start.copy()
                index[axis] = option
                if space.decode(index) != space.decode(start) and cost(index) <= target:
                    candidates.append(space.canonical(index))
                    break
        proposals += [space.decode(index) for index in candidates]
        start = max(candidates, key=lambda index: toy_score(space.decode(index)))
        share *= decay
    return list(dict.fromkeys(proposals))


def proposals_of(agent: Agent) -> list[Policy]:
    """All that an agent proposes until it ends, each learned before the next."""
    policies = []
    while (policy := agent.propose()) is not None:
        policies.append(policy)
        agent.learn(policy, toy_score(policy))
    return policies


@pytest.mark.parametrize(("budget", "step"), [("macs<=60%", 0.1), ("size<=50%", 0.15)])
def test_netadapt_takes_each_step_exactly_until_the_budget_is_kept(budget: str, step: float) -> None:
    problem = toy(budget)
    found = proposals_of(make_agent("netadapt", problem, 0, step=step, decay=0.9))
    assert found == netadapt_by_hand(problem, budget.partition("<")[0], step, 0.9)
    assert fits(problem, found[0]) and any(fits(problem, policy) for policy in found[-len(problem.space.axes) :])
    kinds = {axis.field for axis in problem.space.axes if any(_takes(axis.unit, axis.field, one) for one in found)}
    assert kinds == {"channels", "keep", "bits"} if budget.startswith("size") else kinds == {"channels", "keep"}


def _takes(unit: str, field: str, policy: Policy) -> bool:
    choice = policy[unit]
    return {"keep": choice.keep is False, "bits": choice.weight_bits == 8, "channels": choice.channels == 2}[field]


def test_netadapt_goes_on_from_a_failed_iteration_with_more_to_save() -> None:
    problem = planted(4, 8).problem
    agent, prices, failed = make_agent("netadapt", problem, 0, step=0.05), [], 0
    while (policy := agent.propose()) is not None:
        fails = failed < 4 and not fits(problem, policy)
        failed += fails
        agent.learn(policy, None if fails else toy_score(policy))
        prices.append(problem.projection.model.cost(policy).macs)
    assert failed == 4
    assert max(prices[5:9]) < min(prices[1:5])
    assert prices[-1] <= problem.projection.limits["macs"]


def test_netadapt_ends_where_everything_fails() -> None:
    agent = make_agent("netadapt", toy("macs<=40%"), 0)
    for _ in range(500):
        policy = agent.propose()
        if policy is None:
            return
        agent.learn(policy, None)
    pytest.fail("it still proposes")


@pytest.mark.parametrize("ahead", [1, 3, 40])
def test_netadapt_is_resumed_with_several_under_way(ahead: int) -> None:
    """As a search resumes it: old proposals skipped first, then what had been learned by then."""
    problem = planted(5, 6, 1).problem

    def make() -> Agent:
        return make_agent("netadapt", problem, 0, step=0.05, candidates=4)

    agent, policies = make(), list[Policy]()
    for number in range(90):
        if number >= ahead:
            agent.learn(policies[number - ahead], toy_score(policies[number - ahead]))
        policy = agent.propose()
        if policy is None:
            break
        policies.append(policy)
    assert len(set(policies)) == len(policies) > 20
    for done in range(ahead, len(policies), 7):
        resumed = make()
        for policy in policies[:done]:
            resumed.skip(policy)
        for policy in policies[: done - ahead + 1]:
            resumed.learn(policy, toy_score(policy))
        assert resumed.propose() == policies[done]


def test_netadapt_with_sensitivities_tries_the_axes_that_mind_least() -> None:
    problem = planted(6, 8).problem
    harms = tuple(np.linspace(10.0 if axis else 0.1, 0, size) for axis, size in enumerate(problem.space.sizes))
    known = Sensitivities(problem.space, harms, tuple(np.ones(len(one), dtype=bool) for one in harms))
    agent = make_agent("netadapt", replace(problem, sensitivities=known), 0, candidates=1, step=0.01)
    agent.learn(agent.propose() or Policy({}), 0.5)
    policy = agent.propose()
    assert policy is not None
    assert np.flatnonzero(problem.space.encode(policy) != problem.space.full).tolist() == [0]


def test_netadapt_refuses_what_one_axis_alone_may_not_save() -> None:
    with pytest.raises(ConfigError, match=r"netadapt cannot keep a budget of memory; these can: .*evolution.*greedy"):
        make_agent("netadapt", toy("memory<=60%"), 0)


# --- greedy


def harm(problem: Problem, index: np.ndarray) -> float:
    assert problem.sensitivities is not None
    return float(problem.sensitivities.of(index))


def greedy_by_hand(problem: Problem) -> Policy:
    """The same greedy algorithm, one policy at a time."""
    space, limits, index = problem.space, problem.projection.limits, problem.space.full

    def over(index: np.ndarray) -> dict[str, float]:
        cost = problem.projection.model.cost(space.decode(index))
        return {metric: cost.get(metric) / limit for metric, limit in limits.items()}

    def moves(index: np.ndarray, lower: bool) -> list[np.ndarray]:
        found = []
        for axis, size in enumerate(space.sizes):
            for option in range(index[axis]) if lower else range(index[axis] + 1, size):
                one = index.copy()
                one[axis] = option
                if space.decode(one) != space.decode(index):
                    found.append(space.canonical(one))
        return found

    while (worst := max(before := over(index), key=lambda metric: before[metric])) and before[worst] > 1:
        saving = [one for one in moves(index, True) if over(one)[worst] < before[worst]]
        index = min(
            saving, key=lambda one: (harm(problem, one) - harm(problem, index)) / (before[worst] - over(one)[worst])
        )
    while True:
        fitting = [one for one in moves(index, False) if max(over(one).values()) <= 1]
        better = [one for one in fitting if harm(problem, one) < harm(problem, index)]
        if not better:
            return space.decode(index)
        index = min(better, key=lambda one: harm(problem, one))


@pytest.mark.parametrize("budgets", [("macs<=55%",), MANY, ("size<=50%",)])
def test_greedy_is_what_it_says(budgets: tuple[str, ...]) -> None:
    problem = toy(*budgets)
    assert make_agent("greedy", problem, 0).propose() == greedy_by_hand(problem)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_is_within_a_step_of_the_best_where_harms_are_convex(seed: int) -> None:
    base = planted(5, 6, seed).problem
    generator = np.random.default_rng(seed)
    harms = tuple(generator.uniform(0.2, 2) * np.linspace(1, 0, size) ** 2 for size in base.space.sizes)
    known = Sensitivities(base.space, harms, tuple(np.ones(len(one), dtype=bool) for one in harms))
    problem = replace(base, sensitivities=known)
    everything = np.array(list(itertools.product(*(range(size) for size in base.space.sizes))))
    kept = everything[base.projection.fits(everything)]
    policy = make_agent("greedy", problem, 0).propose()
    assert policy is not None
    found, step = harm(problem, base.space.encode(policy)), max(np.abs(np.diff(one)).max() for one in harms)
    assert known.of(kept).min() <= found <= known.of(kept).min() + step
    assert found < harm(problem, base.space.encode(base.uniform()))


def test_greedy_keeps_a_budget_that_no_single_step_brings_nearer() -> None:
    """The peak of memory may be shared by operators of which no axis has both."""
    base = toy()
    for percent in (45, 25):
        projection = Projection(base.projection.model, [Budget.parse(f"memory<={percent}%")])
        policy = make_agent("greedy", replace(base, projection=projection), 0).propose()
        assert policy is not None
        assert projection.fits(base.space.encode(policy)[None])[0]


def test_greedy_needs_sensitivities() -> None:
    with pytest.raises(ValueError, match=r"greedy needs Problem\.sensitivities"):
        make_agent("greedy", replace(toy(), sensitivities=None), 0)
