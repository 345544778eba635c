"""The integer program finds what trying all policies finds."""

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from automc.agents import Problem
from automc.agents.program import Program
from automc.costs import Budget, CostModel, Projection
from automc.graph import build_graph
from automc.latency_tables.simulated import make_accelerator
from automc.models import CifarResNet
from automc.search_spaces import SearchSpace, SpaceConfig, build_space
from automc.sensitivities import Sensitivities
from automc.testing import PlantedProblem, toy_problem, toy_sensitivities
from tests.networks import Example, priced, randomize, with_random_table

TOLERANCE = 1e-4
ENOUGH = 300.0  # seconds, on however busy a machine


def everything(space: SearchSpace) -> np.ndarray:
    return np.array(list(itertools.product(*(range(size) for size in space.sizes))))


def assert_finds_the_best(projection: Projection, sensitivities: Sensitivities) -> None:
    space = projection.model.space
    solution = Program(projection).solve(sensitivities.harms, ENOUGH)
    policies = everything(space)
    best = sensitivities.of(policies[projection.fits(policies)]).min()
    assert projection.fits(solution.index[None])[0]
    assert solution.objective == pytest.approx(sensitivities.of(solution.index))
    assert best <= solution.objective * (1 + 1e-12)
    assert solution.objective <= best * (1 + TOLERANCE)
    assert solution.bound is not None
    assert solution.bound <= best * (1 + 1e-9)
    assert solution.gap is not None
    assert (solution.status, solution.exact, solution.gap <= TOLERANCE) == ("optimal", True, True)


@cache
def residual() -> CostModel:
    """Two blocks that may go, whose layers may run in int8."""
    network = randomize(CifarResNet(2, widths=(4, 4, 4), option="B"), seed=0)
    exclude = ("layer2.*", "layer3.*", "conv1", "linear")
    config = SpaceConfig(channel_multiple=2, min_keep=0.4, bits=(8,), exclude=exclude)
    return priced(Example(network, torch.ones(1, 3, 8, 8)), config)


@cache
def toy_model() -> CostModel:
    return toy_problem().projection.model


def toy(*budgets: str) -> Problem:
    """`toy_problem`, whose network is read once."""
    model = toy_model()
    projection = Projection(model, [Budget.parse(text) for text in budgets])
    return Problem(model.space, projection, sensitivities=toy_sensitivities(model.space))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("budgets", [["latency<=85%"], ["latency<=95%", "size<=93%"], ["params<=96%", "macs<=80%"]])
def test_blocks_widths_and_int8_with_latencies_that_know_no_order(budgets: list[str], seed: int) -> None:
    model = with_random_table(residual(), seed)
    projection = Projection(model, [Budget.parse(text) for text in budgets])
    assert_finds_the_best(projection, toy_sensitivities(model.space, seed))


@pytest.mark.parametrize("seed", range(3))
def test_widths_of_a_chain(seed: int) -> None:
    problem = PlantedProblem(4, 5, seed).problem
    assert_finds_the_best(problem.projection, toy_sensitivities(problem.space, seed))


@pytest.mark.parametrize("budget", ["latency<=35%", "energy<=50%", "size<=60%"])
def test_widths_and_bits_on_an_accelerator(budget: str) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 96, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    graph = build_graph(nn.Sequential(*layers, nn.Linear(96, 5)).eval(), torch.randn(1, 3, 8, 8))
    paper = make_accelerator("bismo-cloud")
    config = SpaceConfig(channel_multiple=16, bits=(2, 4, 8), exclude=("6",))
    space = build_space(graph, config, 1, paper.device.precisions)
    projection = Projection(CostModel(graph, space, paper), [Budget.parse(budget)])
    assert_finds_the_best(projection, toy_sensitivities(space))


def harms_of(problem: Problem) -> Sequence[np.ndarray]:
    assert problem.sensitivities is not None
    return problem.sensitivities.harms


def test_one_program_is_solved_for_many_harms() -> None:
    model = with_random_table(residual(), 0)
    projection = Projection(model, [Budget.parse("latency<=90%")])
    program, policies = Program(projection), np.unique(model.space.canonical(everything(model.space)), axis=0)
    policies = policies[projection.fits(policies)]
    for seed in range(3):  # harms that may also be a gain, and of the original too
        harms = [np.random.default_rng([seed, axis]).normal(size=size) for axis, size in enumerate(model.space.sizes)]
        totals = sum(each[policies[:, axis]] for axis, each in enumerate(harms))
        assert program.solve(harms, ENOUGH).objective == pytest.approx(np.min(totals), rel=2 * TOLERANCE)


def test_the_original_where_it_fits() -> None:
    problem = toy("macs<=100%", "size<=100%")
    solution = Program(problem.projection).solve(harms_of(problem), ENOUGH)
    assert np.array_equal(solution.index, problem.space.full)
    assert (solution.objective, solution.gap) == (0, 0)


def test_without_a_budget_all_harm_is_avoided() -> None:
    problem = toy()
    solution = Program(problem.projection).solve(harms_of(problem), ENOUGH)
    assert np.array_equal(solution.index, problem.space.full)


@pytest.mark.parametrize("budget", ["macs<=40%", "params<=30%"])
def test_where_tables_would_be_too_large_fewer_options_are_looked_at(budget: str) -> None:
    problem = toy(budget)
    whole, part = Program(problem.projection), Program(problem.projection, entries=12)
    best, found = whole.solve(harms_of(problem), ENOUGH), part.solve(harms_of(problem), ENOUGH)
    assert (best.exact, found.exact) == (True, False)
    assert part.shape[1] < whole.shape[1]
    assert problem.projection.fits(found.index[None])[0]
    assert best.objective <= found.objective * (1 + TOLERANCE)
    uniform = [problem.projection.project(problem.space.full, bits) for bits in (True, False)]
    assert problem.sensitivities is not None
    assert found.objective <= problem.sensitivities.of(np.stack(uniform)).min()


def test_no_time_at_all_is_enough_for_a_policy_that_fits() -> None:
    problem = toy("size<=30%", "macs<=50%")
    solution = Program(problem.projection).solve(harms_of(problem), seconds=0)
    assert problem.projection.fits(solution.index[None])[0]
    assert solution.status != "optimal"
    assert (solution.gap is None) == (solution.bound is None)
    assert solution.gap is None or solution.status == "time"
    changes = np.repeat(solution.index[None], problem.space.sizes.sum(), axis=0)
    axes = np.repeat(np.arange(len(problem.space.axes)), problem.space.sizes)
    changes[np.arange(len(axes)), axes] = np.concatenate([np.arange(size) for size in problem.space.sizes])
    assert problem.sensitivities is not None
    better = problem.sensitivities.of(changes) < solution.objective
    assert not problem.projection.fits(changes[better]).any(), "a single change that fits would have done less harm"


def test_memory_is_no_sum() -> None:
    problem = toy("memory<=80%")
    with pytest.raises(ValueError, match="memory"):
        Program(problem.projection)


def test_nothing_is_printed_on_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    problem = toy("size<=30%")
    Program(problem.projection).solve(harms_of(problem), ENOUGH)
    assert not capfd.readouterr().out
