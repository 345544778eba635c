"""Everything that a search stands on, made from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from torch import nn

from automc import progress
from automc.campaigns.config import SearchConfig
from automc.campaigns.evaluated import Unit
from automc.campaigns.result import TableInfo
from automc.campaigns.sensing import named_sensitivities
from automc.costs import Budget, CostModel, Projection, check_reachable
from automc.devices import Bench, Device, LocalBench
from automc.errors import ConfigError, TableError, users_code
from automc.graph import ModelGraph, build_graph
from automc.latency_tables import (
    Accelerator,
    Hardware,
    LatencyTable,
    Signature,
    Target,
    WithEnergy,
    ensure_table,
    open_table,
    table_path,
)
from automc.latency_tables.validation import trust
from automc.recipes import weights_digest
from automc.search_spaces import SearchSpace, build_space
from automc.sensitivities import SensitivityFile
from automc.tasks import Inputs, Split, Task, example, load_task
from automc.tasks.checks import check_inputs, check_model, check_outputs

_BY_HARDWARE = ("latency", "energy")
"""What can be budgeted only where something prices operators."""


@dataclass(frozen=True)
class Subject:
    """A task's model, read: what there is to compress.

    Attributes:
        task: the task.
        model: its trained network.
        inputs: example inputs, a batch of the device's size.
        target: what it will run on.
        graph: what the network consists of.
    """

    task: Task
    model: nn.Module
    inputs: Inputs
    target: Target
    graph: ModelGraph

    @property
    def device(self) -> Device:
        """The device's own description."""
        return self.target.device

    @property
    def bench(self) -> Bench:
        """Where its networks are timed; raises ConfigError for a device on paper."""
        if isinstance(self.target, Accelerator):
            raise ConfigError(f"{self.device.name} is a model of hardware: there is nothing to measure")
        return self.target

    @cached_property
    def digest(self) -> str:
        """Digest of the network's weights."""
        return weights_digest(self.model)

    def units(self) -> list[Unit]:
        """Returns all units of the network and its layers that can run in int8, in the order in which they run."""
        graph = self.graph
        owners = {group.name: block.name for block in graph.blocks for group in graph.inside(block)}
        int8 = {layer.name for layer in graph.layers}
        units = {
            g.name: Unit(
                name=g.name,
                kind=g.unit,
                full=g.channels,
                block=owners.get(g.name),
                frozen=g.frozen,
                int8=g.name in int8,
            )
            for g in graph.groups
        }
        follows = {m.module: (g, m) for g in graph.groups for m in g.members if m.role == "out" and m.tensor is None}
        shapes = {weight.name: weight.shape for weight in graph.weights}
        for name in sorted(int8 - set(units)):
            group, member = follows.get(name, (None, None))
            full = shapes[f"{name}.weight"][0]
            block = next((b.name for b in reversed(graph.blocks) if name.startswith(f"{b.name}.")), None)
            named = group.name if group and member and sum(map(len, member.positions)) == full else None
            units[name] = Unit(name=name, kind="layer", full=full, block=block, group=named, int8=True)
        units |= {block.name: Unit(name=block.name, kind="block", full=1) for block in graph.blocks}
        order = [name for name, _ in self.model.named_modules()]
        return sorted(units.values(), key=lambda unit: order.index(unit.name))


@dataclass(frozen=True)
class Setup:
    """A subject with a space, prices and budgets.

    Attributes:
        subject: what is compressed.
        space: the policies there are.
        costs: prices them.
        table: the latency table, or what else prices operators, or None.
        table_info: where it is from, or None.
        table_missing: why there is no latency table.
        projection: makes policies keep the budgets.
        sensitivities: those that the configuration names, or None.
    """

    subject: Subject
    space: SearchSpace
    costs: CostModel
    table: Hardware | None
    table_info: TableInfo | None
    table_missing: str | None
    projection: Projection
    sensitivities: SensitivityFile | None = None


def read_subject(task: Task, target: Target | None = None) -> Subject:
    """Loads a task's model and traces it.

    Args:
        task: whose model.
        target: what it will run on; None for this machine, one thread and one example at a time.

    Raises:
        TaskError: the task's model or data cannot be loaded, or are not as a task's must be.
        TraceError: the model cannot be traced.
    """
    target = target or LocalBench()
    batch = target.device.batch
    with users_code("the task's model or data cannot be loaded"):
        model = task.model()
        inputs = example(task, batch)
    check_model(model)
    check_inputs(inputs, batch)
    check_outputs(model, inputs)
    return Subject(task, model, inputs, target, build_graph(model, inputs))


def set_up(config: SearchConfig, folder: Path) -> Setup:
    """Prepares a search: traces the model, measures or reads the latency table, checks the budgets.

    Args:
        config: the search.
        folder: where relative paths of the configuration start.

    Raises:
        AutoMCError: anything of it cannot be done; nothing was searched yet.
    """
    task = load_task(config.task, config.task_args, folder)
    subject = read_subject(task, config.device.open())
    with users_code("the task's data cannot be loaded"):
        for split in get_args(Split):  # an empty one would be found out only when it is scored
            check_inputs(example(task, 1, split), 1, split)
    device = subject.device
    space = build_space(subject.graph, config.space, device.channel_multiple, device.precisions)
    progress.say(f"{len(space.axes)} decisions, {space.size:.3g} policies")
    sensitivities = named_sensitivities(config, folder, subject, space)
    by_hardware = [budget for budget in config.budgets if budget.metric in _BY_HARDWARE]
    _refuse_latency_in_simulation(config, by_hardware, subject.target)
    # what needs no latency table is refused before one is measured
    check_reachable(CostModel(subject.graph, space), [b for b in config.budgets if b.metric not in _BY_HARDWARE])
    table: Hardware | None = None
    info, missing = None, None
    try:
        if isinstance(subject.target, Accelerator):
            table, missing = subject.target, f"latency is by the model of {device.name}, not measured"
        elif config.space.simulate:
            raise TableError("space.simulate offers bits that the device does not run")
        else:
            table, info = _table(config, folder, subject, space)
    except TableError as error:
        # without a table all but latency can still be budgeted; a table that was named must be usable
        if config.latency_table or by_hardware:
            raise
        missing = str(error)
        progress.say(f"No predicted latency: {missing}")
    if table is not None and table.energy_from is None and any(b.metric == "energy" for b in by_hardware):
        table = WithEnergy(table)
    costs = CostModel(subject.graph, space, table)
    return Setup(subject, space, costs, table, info, missing, Projection(costs, config.budgets), sensitivities)


def _refuse_latency_in_simulation(config: SearchConfig, by_hardware: list[Budget], target: Target) -> None:
    if isinstance(target, Accelerator):
        if config.latency_table:
            raise ConfigError(f"latency_table: {target.device.name} is a model, which takes no table; leave it out")
        return
    asked = [f"budget '{budget.text}'" for budget in by_hardware]
    asked += ["latency_table"] if config.latency_table else []
    if config.space.simulate and asked:
        raise ConfigError(
            f"{asked[0]}: space.simulate offers bits that the device does not run, which have no latency; "
            "budget macs or size, choose a device on paper that runs them, or leave simulate out"
        )


def _table(config: SearchConfig, folder: Path, subject: Subject, space: SearchSpace) -> tuple[LatencyTable, TableInfo]:
    signatures = CostModel(subject.graph, space).all_signatures()
    named = config.latency_table and folder / config.latency_table
    if named and not named.is_file():
        raise ConfigError(f"latency_table: no file {named}")
    table, path, reused = table_for(subject, signatures, named, config.force_table)
    progress.say(f"Latency: {trust(table.validations, config.subject)}")
    info = TableInfo(
        path=str(path),
        measured_at=table.measured_at,
        method=table.method,
        operators=len(table.entries),
        reused=reused,
        validations=list(table.validations),
        forced=subject.device.mismatch(table.device),
    )
    return table, info


def table_for(
    subject: Subject, signatures: Sequence[Signature], named: Path | None = None, force: bool = False
) -> tuple[LatencyTable, Path, bool]:
    """Returns a table with these operators, where it lies, and whether nothing had to be measured for it.

    Args:
        subject: whose device it is for.
        signatures: what it must have.
        named: a table to use as it is; by default the user's own, in which what it lacks is measured.
        force: whether the named one is used even though it is another device's.

    Raises:
        TableError: the table is damaged or another device's, or the named one lacks an operator.
    """
    if named is None:
        table, reused = ensure_table(subject.bench, signatures)
        return table, table_path(subject.device), reused
    table = open_table(named, subject.device, force)
    for signature in signatures:
        table.lookup(signature)
    return table, named, True
