"""``automc inspect``: what of a network can be compressed and what not, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from automc.campaigns import Subject
    from automc.campaigns.evaluated import Unit
    from automc.search_spaces import SpaceConfig


@dataclass(frozen=True)
class InspectedUnit:
    """What can be done with one unit.

    Attributes:
        unit: its name.
        kind: ``channels``, ``heads``, ``groups``, ``block``, or ``layer`` for one whose channels another unit decides
            about.
        channels: channels of a group or layer.
        options: channels or whether to keep a block, as far as they may be chosen; empty when that is fixed.
        precisions: what a layer may run in; empty for a block.
        macs_share: share of all MACs in the modules that it touches.
        modules: these modules.
        fixed: why there are no options, or None.
    """

    unit: str
    kind: str
    channels: int | None
    options: tuple[Any, ...]
    precisions: tuple[str, ...]
    macs_share: float
    modules: list[str]
    fixed: str | None


def inspect(
    subject: Annotated[str, typer.Argument(help=SUBJECT_HELP)],
    as_json: JsonFlag = False,
) -> None:
    """Show what of a network can be compressed and what not, and why."""
    from automc.campaigns.hurting import macs_touched, touched_modules
    from automc.costs import CostModel
    from automc.costs.units import format_cost
    from automc.search_spaces import Choice, build_space

    read, config = load_subject(subject)
    space = build_space(read.graph, config, read.device.channel_multiple, read.device.precisions)
    costs = CostModel(read.graph, space)
    total = costs.cost(space.decode(space.full))
    shares = macs_touched(read, costs)
    options = {axis.unit: axis.options for axis in space.axes if axis.field != "bits"}
    precisions = {axis.unit: axis.options for axis in space.axes if axis.field == "bits"}
    units = []
    for unit in read.units():
        bits = [Choice(weight_bits=w, activation_bits=a).precision for w, a in precisions.get(unit.name, ())]
        units.append(
            InspectedUnit(
                unit=unit.name,
                kind=unit.kind,
                channels=None if unit.kind == "block" else unit.full,
                options=options.get(unit.name, ()),
                precisions=() if unit.kind == "block" else tuple(name for name in bits if name) or ("float",),
                macs_share=round(shares[unit.name], 4),
                modules=touched_modules(read, unit),
                fixed=_why_fixed(unit, options),
            )
        )
    if as_json:
        figures = {"macs": total.macs, "params": total.params, "size": total.size, "memory": total.memory}
        figures |= {"policies": space.size}
        print_json({"task": subject, **figures, "units": [asdict(unit) for unit in units]})
        return
    rows = [
        (
            unit.unit,
            unit.kind,
            unit.channels or "",
            f"{100 * unit.macs_share:.1f}%",
            " ".join(unit.precisions),
            unit.fixed or " ".join("keep" if o is True else "drop" if o is False else str(o) for o in unit.options),
        )
        for unit in units
    ]
    size = [format_cost(metric, total.get(metric)) for metric in ("macs", "params", "size", "memory")]
    summary = f"{size[0]} MACs, {size[1]} parameters, {size[2]}, activations of {size[3]} at the peak"
    print_table(
        f"{subject}: {summary}; {space.size:.3g} policies",
        ["unit", "kind", "width", "MACs touched", "precision", "options, or why it stays as it is"],
        rows,
    )
    typer.echo(_int8(len(precisions), read, bool(config.bits)))


def load_subject(subject: str, **device: str | int | None) -> tuple[Subject, SpaceConfig]:
    """Returns what a task's name, ``path.py:Class`` or CONFIG.yaml stands for, traced, and its search space.

    Args:
        subject: which of these.
        **device: keys of the configuration's ``device``; those that are not None win over the configuration's own.
    """
    from automc.campaigns import load_config, read_subject
    from automc.campaigns.config import DeviceConfig
    from automc.search_spaces import load_preset
    from automc.tasks import load_task

    given = {key: value for key, value in device.items() if value is not None}
    if subject.endswith((".yaml", ".yml")):
        config = load_config(Path(subject))
        task = load_task(config.task, config.task_args, Path(subject).parent)
        return read_subject(task, config.device.model_copy(update=given).open()), config.space
    return read_subject(load_task(subject), DeviceConfig().model_copy(update=given).open()), load_preset("all")


def name_of(subject: str) -> str:
    """Returns what a subject is called in a table: its task."""
    from automc.campaigns import load_config

    return load_config(Path(subject)).subject if subject.endswith((".yaml", ".yml")) else subject


def _int8(searched: int, read: Subject, asked: bool) -> str:
    able = len(read.graph.layers)
    if not able:
        return (
            "No layer can run in int8: that takes a Conv2d with zero padding, or a Linear, which runs once, has "
            "weights of its own and reads a tensor in float32."
        )
    if not asked:
        return f"{able} layers can run in int8; this search space has no bits: leaves them in float."
    return f"{searched} of {able} layers that can run in int8 may be chosen to."


def _why_fixed(unit: Unit, options: dict[str, tuple[object, ...]]) -> str | None:
    if unit.frozen is not None:
        return f"frozen: {unit.frozen}"
    if unit.kind == "layer":
        return f"channels as those of {unit.group}" if unit.group else "its channels are in no group"
    return (
        None if unit.name in options else "fixed by the search space: excluded, or no wider than the channel multiple"
    )
