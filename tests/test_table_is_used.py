from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import nn

from automc.agents import AGENTS, Problem, make_agent
from automc.costs import Budget, CostModel, Projection
from automc.latency_tables import Entry, LatencyTable, Overhead, Signature
from automc.search_spaces import Policy, SpaceConfig
from automc.testing import toy_sensitivities
from tests.networks import Example, Mean, device, priced, randomize

KERNELS = [(3, 3), (5, 5), (1, 1), (7, 7)]  # each layer has its own, by which the table's lines are told apart


def network() -> Example:
    layers: list[nn.Module] = []
    inputs = 3
    for size, _ in KERNELS:
        layers += [nn.Conv2d(inputs, 32, size, padding=size // 2), nn.BatchNorm2d(32), nn.ReLU()]
        inputs = 32
    model = randomize(nn.Sequential(*layers, Mean(), nn.Linear(32, 10)), seed=0)
    return Example(model, torch.ones(1, 3, 16, 16))


@pytest.fixture(scope="module")
def model() -> CostModel:
    """A table in which a layer takes the longer the more there is to multiply."""
    bare = priced(network(), SpaceConfig(channel_multiple=2))
    table = LatencyTable(device(), Overhead(run=10.0, kernel=0.5))
    for signature in bare.all_signatures(most=10**9):
        us = 1 + 1e-3 * math.prod(signature.channels) * math.prod(dict(signature.rest).get("k", (1,)))
        table.entries[signature] = Entry(us, us, us, runs=1)
    return CostModel(bare.graph, bare.space, table)


def with_entries(model: CostModel, change: Callable[[Signature, Entry], Entry]) -> CostModel:
    assert isinstance(model.table, LatencyTable)
    entries = {signature: change(signature, entry) for signature, entry in model.table.entries.items()}
    return CostModel(model.graph, model.space, replace(model.table, entries=entries))


def slower(model: CostModel, kernel: tuple[int, int], factor: float) -> CostModel:
    """The same with every line of one layer multiplied."""

    def change(signature: Signature, entry: Entry) -> Entry:
        return replace(entry, us=entry.us * factor) if dict(signature.rest).get("k") == kernel else entry

    return with_entries(model, change)


def problem(model: CostModel, budget: str) -> Problem:
    projection = Projection(model, [Budget.parse(budget)])
    return Problem(model.space, projection, sensitivities=toy_sensitivities(model.space))


def latency(model: CostModel, policy: Mapping[str, object]) -> float:
    assert isinstance(policy, Policy)
    return model.cost(policy).get("latency")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("factor", [2, 10])
def test_a_slower_layer_makes_the_network_narrower(model: CostModel, kernel: tuple[int, int], factor: float) -> None:
    limit = 0.6 * latency(model, model.space.decode(model.space.full))
    changed = slower(model, kernel, factor)
    before, after = (problem(m, f"latency<={limit}us").uniform() for m in (model, changed))
    assert latency(model, before) <= limit
    assert latency(changed, after) <= limit
    if latency(changed, before) > limit:
        assert after != before
        assert sum(after[unit].channels or 0 for unit in after) < sum(before[unit].channels or 0 for unit in before)
    else:  # the smallest layer, doubled, still fits
        assert (kernel, factor) == ((1, 1), 2)


# this space has no bits
@pytest.mark.parametrize("agent", sorted(set(AGENTS) - {"haq", "int8", "uniform+int8", "uniform-bits"}))
def test_what_an_agent_proposes_depends_on_the_table(model: CostModel, agent: str) -> None:
    def proposals(model: CostModel) -> list[Policy | None]:
        made = make_agent(agent, problem(model, "latency<=50%"), seed=0)
        return [made.propose() for _ in range(12)]  # some need not be brought onto either budget

    assert proposals(model) == proposals(slower(model, (7, 7), 1))
    assert proposals(model) != proposals(slower(model, (7, 7), 10))


def test_a_budget_in_percent_does_not_depend_on_the_speed_of_the_device(model: CostModel) -> None:
    assert isinstance(model.table, LatencyTable)
    eightfold = with_entries(model, lambda signature, entry: replace(entry, us=entry.us * 8))
    assert isinstance(eightfold.table, LatencyTable)
    table = replace(eightfold.table, overhead=Overhead(model.table.overhead.run * 8, model.table.overhead.kernel * 8))
    changed = CostModel(model.graph, model.space, table)
    assert problem(changed, "latency<=50%").uniform() == problem(model, "latency<=50%").uniform()


def test_what_the_network_never_runs_does_not_matter(model: CostModel) -> None:
    assert isinstance(model.table, LatencyTable)
    more = model.table.merged({Signature.of("linear", (7, 7), n=(9,)): Entry(1e6, 1e6, 1e6, runs=1)})
    changed = CostModel(model.graph, model.space, more)
    assert problem(changed, "latency<=50%").uniform() == problem(model, "latency<=50%").uniform()


def test_latency_is_the_sum_of_the_tables_lines_and_the_overhead(model: CostModel) -> None:
    assert isinstance(model.table, LatencyTable)
    index = model.space.full // 2
    lines = [model.table.entries[signature].us for signature in model.signatures(index)]
    assert len(lines) == len(KERNELS) + 2
    expected = sum(lines) + len(lines) * model.table.overhead.kernel + model.table.overhead.run
    assert latency(model, model.space.decode(index)) == pytest.approx(expected, rel=1e-12)
