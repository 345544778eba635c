"""``automc sensitivity``: which layers hurt, and how much."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json, print_table
from automc.cli.tables import Batch, DeviceName, TablePath, Threads, open_source

if TYPE_CHECKING:
    from automc.campaigns import Subject
    from automc.campaigns.hurting import Hurt
    from automc.costs import CostModel
    from automc.search_spaces import SearchSpace
    from automc.sensitivities import Stored


def sensitivity(
    subject: Annotated[str, typer.Argument(help=SUBJECT_HELP)],
    search_images: Annotated[int | None, typer.Option(help="Examples to compare outputs on.  [default: 256]")] = None,
    calibration_images: Annotated[int | None, typer.Option(help="Examples for recovery.  [default: 256]")] = None,
    options: Annotated[int | None, typer.Option(help="Options to measure of each curve.  [default: 1]")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Measure even what was measured before.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write a picture here, one HTML page.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write them here, YAML, for a search's sensitivities: key.")] = None,
    table: TablePath = None,
    device: DeviceName = None,
    threads: Threads = None,
    batch: Batch = None,
    as_json: JsonFlag = False,
) -> None:
    """Show which layers hurt: what each choice alone does to a network, after recovery."""
    from automc import files, progress
    from automc.campaigns import load_config
    from automc.campaigns.hurting import hurting
    from automc.campaigns.reports import render_sensitivities
    from automc.campaigns.sensing import sensitivities_of
    from automc.cli.inspect import load_subject, name_of
    from automc.compression import Methods
    from automc.errors import ConfigError
    from automc.evaluation import Forward
    from automc.search_spaces import build_space
    from automc.sensitivities import Effort, save_sensitivities

    given = {"search_images": search_images, "calibration_images": calibration_images, "options": options}
    asked = {name: value for name, value in given.items() if value is not None}
    effort = files.parse(asked, Effort, ConfigError, "options of automc sensitivity")
    for path in (out, save):
        if path is not None:
            files.ensure_writable(path.parent)
    config = load_config(Path(subject)) if subject.endswith((".yaml", ".yml")) else None
    read, offered = load_subject(subject, target=device, threads=threads, batch=batch)
    space = build_space(read.graph, offered, read.device.channel_multiple, read.device.precisions)
    costs = _costs(read, space, table)
    methods, seed = (config.methods, config.seed) if config else (Methods(), 0)
    precision = Forward(read.task, read.model, config.fidelity.precision if config else "auto").precision
    try:
        stored = sensitivities_of(read, space, precision, methods, effort, seed, anew)
    except KeyboardInterrupt:
        progress.say("What was measured is kept; go on with the same command")
        raise
    hurts, name = hurting(read, costs, stored.found.axes), name_of(subject)
    if save is not None:
        save_sensitivities(stored.found, save)
    if out is not None:
        files.write_text(out, render_sensitivities(name, stored, hurts, read.units(), read.device))
    if as_json:
        about = stored.found.about.model_dump(mode="json")
        taken = {"path": str(stored.path), "seconds": stored.found.seconds, "spent": stored.spent}
        print_json({"task": name, **taken, "about": about, "units": [one.plain() for one in hurts]})
        return
    _show(name, stored, hurts)
    for path, what in ((out, "the picture, one page"), (save, "the sensitivities, for a search's `sensitivities:`")):
        if path is not None:
            typer.echo(f"{path}: {what}")


def _costs(read: Subject, space: SearchSpace, table: Path | None) -> CostModel:
    """Returns what prices the space: with latency where a table was named, or one that is there has all of it."""
    from automc.costs import CostModel
    from automc.errors import TableError

    try:
        costs = CostModel(read.graph, space, open_source(table, read.target).hardware)
        costs.prices(space.full[None], ["latency"])
        return costs
    except TableError:
        if table is not None:
            raise
        return CostModel(read.graph, space)


def _show(name: str, stored: Stored, hurts: list[Hurt]) -> None:
    from automc.campaigns.hurting import say_option
    from automc.campaigns.reports.hurting import legend, say_harm, say_saved, title

    rows = [
        (
            one.axis.unit,
            say_option(one.axis, one.option),
            say_harm(one.harm, one.axis.measured[one.option]),
            _measured(one),
            f"{100 * one.macs_share:.1f}%",
            say_saved(one),
            "" if one.per_percent is None else say_harm(one.per_percent),
        )
        for one in hurts
    ]
    columns = ["unit", "choice", "harm", "harm where measured", "MACs", "saves", "per 1%"]
    print_table(title(name, stored), columns, rows)
    typer.echo(legend())
    typer.echo(str(stored.path))


def _measured(one: Hurt) -> str:
    """Returns the harm of each option that was measured; nothing where that says no more than the harm itself."""
    from automc.campaigns.hurting import say_option
    from automc.campaigns.reports.hurting import say_harm

    axis = one.axis
    numbers = [number for number in range(len(axis.options) - 1) if axis.measured[number]]
    if numbers == [one.option]:
        return ""
    return "  ".join(
        f"{say_option(axis, number).partition(' of ')[0]}: {say_harm(axis.harms[number])}" for number in numbers
    )
