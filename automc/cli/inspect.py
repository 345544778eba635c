"""``automc inspect``: what of a network can be compressed and what not, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from automc.campaigns import Subject
    from automc.search_spaces import SpaceConfig


@dataclass(frozen=True)
class InspectedUnit:
    """What can be done with one unit.

    Attributes:
        unit: its name.
        kind: ``channels`` or ``block``.
        channels: channels of a group.
        options: what may be chosen; empty when it is fixed.
        macs_share: share of all MACs in the modules that it touches.
        modules: these modules.
        fixed: why nothing can be chosen, or None.
    """

    unit: str
    kind: str
    channels: int | None
    options: tuple[Any, ...]
    macs_share: float
    modules: list[str]
    fixed: str | None


def inspect(
    subject: Annotated[str, typer.Argument(help=SUBJECT_HELP)],
    as_json: JsonFlag = False,
) -> None:
    """Show what of a network can be compressed and what not, and why."""
    from automc.costs import CostModel
    from automc.costs.units import format_cost
    from automc.search_spaces import build_space

    read, config = load_subject(subject)
    space = build_space(read.graph, config, read.device.channel_multiple, read.device.precisions)
    costs = CostModel(read.graph, space)
    total = costs.cost(space.decode(space.full))
    macs = costs.breakdown(space.full, "macs")
    options = {axis.unit: axis.options for axis in space.axes}
    units = []
    for unit in read.units():
        modules = [unit.name] if unit.kind == "block" else _members(read, unit.name)
        touched = sum(value for name, value in macs.items() if any(_within(name, module) for module in modules))
        units.append(
            InspectedUnit(
                unit=unit.name,
                kind=unit.kind,
                channels=unit.full if unit.kind == "channels" else None,
                options=options.get(unit.name, ()),
                macs_share=round(touched / max(total.macs, 1), 4),
                modules=modules,
                fixed=_why_fixed(unit.name, unit.frozen, options),
            )
        )
    if as_json:
        figures = {"macs": total.macs, "params": total.params, "size": total.size, "policies": space.size}
        print_json({"task": subject, **figures, "units": [asdict(unit) for unit in units]})
        return
    rows = [
        (
            unit.unit,
            unit.kind,
            unit.channels or "",
            f"{100 * unit.macs_share:.1f}%",
            unit.fixed or " ".join("keep" if o is True else "drop" if o is False else str(o) for o in unit.options),
        )
        for unit in units
    ]
    size = [format_cost(metric, total.get(metric)) for metric in ("macs", "params", "size")]
    summary = f"{size[0]} MACs, {size[1]} parameters, {size[2]}"
    print_table(
        f"{subject}: {summary}; {space.size:.3g} policies",
        ["unit", "kind", "channels", "MACs touched", "options, or why it stays as it is"],
        rows,
    )


def load_subject(subject: str) -> tuple[Subject, SpaceConfig]:
    """Returns what a task's name, ``path.py:Class`` or CONFIG.yaml stands for, traced, and its search space."""
    from automc.campaigns import load_config, read_subject
    from automc.search_spaces import load_preset
    from automc.tasks import load_task

    if subject.endswith((".yaml", ".yml")):
        config = load_config(Path(subject))
        task = load_task(config.task, config.task_args, Path(subject).parent)
        return read_subject(task, config.device.threads, config.device.batch), config.space
    return read_subject(load_task(subject)), load_preset("width-depth")


def _members(read: Subject, group_name: str) -> list[str]:
    return sorted({m.module for group in read.graph.groups if group.name == group_name for m in group.members})


def _within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def _why_fixed(unit: str, frozen: str | None, options: dict[str, tuple[object, ...]]) -> str | None:
    if frozen is not None:
        return f"frozen: {frozen}"
    return None if unit in options else "fixed by the search space: excluded, or no wider than the channel multiple"
