"""``automc latency validate``: how far a table is off for whole networks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json, print_table
from automc.cli.tables import Batch, DeviceName, Threads

if TYPE_CHECKING:
    from automc.campaigns import Point
    from automc.latency_tables import Validation


def validate(
    subject: Annotated[str, typer.Argument(help=SUBJECT_HELP)],
    table: Annotated[
        Path | None, typer.Option(help="A table to use as it is.  [default: your own, completed by measuring]")
    ] = None,
    device: DeviceName = None,
    threads: Threads = None,
    batch: Batch = None,
    policies: Annotated[int, typer.Option(help="How many random policies.", min=3, max=1000)] = 40,
    seed: Annotated[int, typer.Option(help="Draws the policies.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Write a plot here, one HTML page.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure random policies of a network whole, and say how far the table's predictions were off."""
    from automc import files
    from automc.campaigns import render_validation
    from automc.campaigns import validate as compare
    from automc.campaigns.setup import table_for
    from automc.campaigns.validation import keep
    from automc.cli.inspect import load_subject, name_of
    from automc.costs import CostModel
    from automc.search_spaces import build_space

    if out is not None:
        files.ensure_writable(out.parent)
    read, config = load_subject(subject, target=device, threads=threads, batch=batch)
    space = build_space(read.graph, config, read.device.channel_multiple, read.device.precisions)
    found, path, _ = table_for(read, CostModel(read.graph, space).all_signatures(), table)
    files.ensure_writable(path.parent)
    validation, points = compare(read, space, found, policies, seed, name_of(subject))
    keep(validation, path)
    if out is not None:
        files.write_text(out, render_validation(validation, points, read.units(), found, path))
    if as_json:
        print_json({"path": str(path), **validation.model_dump(mode="json"), "networks": [*map(_plain, points)]})
    else:
        _show(validation, points[0], path)
        if out is not None:
            typer.echo(f"{out}: predicted against measured, network by network")


def _plain(point: Point) -> dict[str, Any]:
    return {
        "policy": point.policy.to_dict(),
        "predicted_us": round(point.predicted, 3),
        "measured": asdict(point.measured),
        "fewer_bits": round(point.fewer_bits, 4),
    }


def _show(found: Validation, original: Point, path: Path) -> None:
    from automc.costs.units import format_cost
    from automc.latency_tables.validation import sentence

    more = f"; {found.passed_by} more could not be exported" if found.passed_by else ""
    print_table(
        f"{found.subject}: {found.policies} random policies ({found.space}), seed {found.seed}{more}",
        ["predicted against measured", ""],
        [
            ("RMSPE", f"{100 * found.rmspe:.1f}%"),
            ("median absolute error", f"{100 * found.median:.1f}%"),
            ("within ±5%", f"{100 * found.within5:.0f}%"),
            ("within ±10%", f"{100 * found.within10:.0f}%"),
            ("Spearman", f"{found.spearman:.3f}"),
            ("bias", f"{100 * found.bias:+.1f}%"),
            ("the measurement, done again, differs by", f"{100 * found.repeatability:.1f}%"),
            (
                "original",
                f"{format_cost('latency', original.predicted)} predicted, "
                f"{format_cost('latency', original.measured.us)} measured",
            ),
        ],
    )
    typer.echo(f"{path}: {sentence(str(found))}")
