"""``automc latency show`` and ``compare``: a table with its provenance, and two tables side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automc.cli.output import JsonFlag, print_json, print_table
from automc.cli.tables import (
    Batch,
    DeviceName,
    Force,
    Source,
    TablePath,
    Threads,
    read_source,
    say_device,
    source_there,
    table_of,
)
from automc.cli.workspaces import ServerOption, open_tables

if TYPE_CHECKING:
    from automc.latency_tables import LatencyTable
    from automc.latency_tables.compare import Difference, Ratios


def list_tables(server: ServerOption = None, as_json: JsonFlag = False) -> None:
    """List your own latency tables, or those of a server."""
    with open_tables(server) as there:
        found = there.all()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    elif not found:
        typer.echo("no latency tables yet; measure one: automc latency measure TASK")
    else:
        rows = [(one.id, say_device(one.device), one.operators, one.measured_at[:10], one.trust) for one in found]
        print_table("latency tables", ["ID", "device", "operators", "measured", "trust"], rows)


def show(
    table: TablePath = None,
    device: DeviceName = None,
    threads: Threads = None,
    batch: Batch = None,
    force: Force = False,
    contains: Annotated[str, typer.Option(help="Only operators whose line contains this.")] = "",
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a table: what it was measured on and how, how far it was off, and its operators."""
    if server is None:
        _show(read_source(table, device, threads, batch, force), contains, as_json)
        return
    with source_there(server, table, device=device, threads=threads, batch=batch, force=force) as source:
        _show(source, contains, as_json)


def _show(source: Source, contains: str, as_json: bool) -> None:
    from automc.latency_tables.validation import trust

    found = table_of(source)
    entries = {str(s): e for s, e in sorted(found.entries.items()) if contains in str(s)}
    runs = _runs(found)
    if as_json:
        print_json(
            {
                "path": str(source.path),
                **source.data(),
                "measured_at": found.measured_at,
                "method": found.method,
                "runs": runs,
                "validations": [validation.model_dump(mode="json") for validation in found.validations],
                "overhead_us": asdict(found.overhead),
                "operators": {line: asdict(entry) for line, entry in entries.items()},
            }
        )
        return
    about = found.device
    typer.echo(str(source.path))
    for name, value in (
        ("device", f"{about.name}: {about.processor}"),
        ("instructions", ", ".join(about.instructions) or "unknown"),
        ("runtime", f"{about.runtime}, {about.threads} thread(s), batch {about.batch}"),
        ("imported" if source.imported else "measured", found.measured_at),
        ("protocol", found.method),
        ("runs", "{operators} operators, {least} to {most} runs of each (median {median:g})".format(**runs)),
        ("repeats to", f"{100 * found.repeatability:.1f}% (RMS of operators measured again)"),
        ("fitted on", _fitted_on(found)),
        (
            "overhead",
            ", ".join(
                f"{value:g} µs {what}"
                for value, what in zip(
                    asdict(found.overhead).values(), ("a run", "a kernel", "a kernel in int8"), strict=False
                )
            ),
        ),
    ):
        typer.echo(f"{name:<14}{value}")
    for line in source.lines():
        typer.echo(line)
    typer.echo(f"{'trust':<14}{trust(found.validations)}")
    if found.validations:
        print_table(
            "predicted against measured latency of whole networks",
            ["subject", "policies", "RMSPE", "±10%", "bias", "Spearman", "measured"],
            [
                (
                    v.subject,
                    v.policies,
                    f"{100 * v.rmspe:.1f}%",
                    f"{100 * v.within10:.0f}%",
                    f"{100 * v.bias:+.1f}%",
                    f"{v.spearman:.3f}",
                    v.measured_at[:10],
                )
                for v in found.validations
            ],
        )
    print_table(
        f"{len(entries)} of {len(found.entries)} operators",
        ["operator", "µs", "quartiles", "runs"],
        [
            (line, e.us, f"{e.low} to {e.high}", f"{e.runs}, disturbed" if e.drifted else e.runs)
            for line, e in entries.items()
        ],
    )


def _fitted_on(table: LatencyTable) -> str:
    counts = Counter(whole.subject for whole in table.wholes)
    return ", ".join(f"{count} networks of {subject}" for subject, count in counts.items()) or "chains of operators"


def compare(
    first: Annotated[Path, typer.Argument(help="A table's file, or a server's ID of one.", metavar="A")],
    second: Annotated[Path, typer.Argument(help="Another table's file.", metavar="B")],
    most: Annotated[int, typer.Option(help="How many of the largest differences to show.", min=0)] = 10,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare two tables: their devices, operators in both, and those in one only."""
    from automc.latency_tables.compare import QUANTILES
    from automc.latency_tables.compare import compare as difference

    tables = [_read(path, server) for path in (first, second)]
    found = difference(*tables)
    if as_json:
        print_json(
            {
                "devices": [table.device.model_dump(mode="json") for table in tables],
                "difference": found.device,
                "overhead_us": [asdict(table.overhead) for table in tables],
                "quantiles": QUANTILES,
                "ratios": asdict(found.ratios),
                "by_kind": {kind: asdict(ratios) for kind, ratios in found.by_kind.items()},
                "largest": [_difference(one) for one in found.largest[:most]],
                "only_first": [str(signature) for signature in found.only_first],
                "only_second": [str(signature) for signature in found.only_second],
            }
        )
        return
    for name, path, table in zip("AB", (first, second), tables, strict=True):
        only = len(found.only_first if name == "A" else found.only_second)
        typer.echo(f"{name}: {path}: {say_device(table.device)}; {len(table.entries)} operators, {only} only here")
    typer.echo(f"another device: {found.device}" if found.device else "the same device and settings")
    if not found.ratios.operators:
        typer.echo("no operator is in both")
        return
    print_table(
        f"{found.ratios.operators} operators in both: B over A",
        ["kind", "operators", *(f"{100 * q:g}%" for q in QUANTILES)],
        [_ratio_row(kind, ratios) for kind, ratios in (("all", found.ratios), *found.by_kind.items())],
    )
    print_table(
        "largest differences from what the median explains",
        ["operator", "A, µs", "B, µs", "B over A"],
        [(o.signature, o.first, o.second, f"{o.ratio:.3f}" if o.ratio else "") for o in found.largest[:most]],
    )


def _read(table: Path, server: str | None) -> LatencyTable:
    from automc.latency_tables import load_table

    if server is None:
        return load_table(table)
    with source_there(server, table) as source:
        return table_of(source)


def _ratio_row(kind: str, ratios: Ratios) -> list[object]:
    return [kind, ratios.operators, *(f"{value:.3f}" for value in ratios.quantiles)]


def _difference(one: Difference) -> dict[str, Any]:
    return {"operator": str(one.signature), "first": one.first, "second": one.second, "ratio": one.ratio}


def _runs(table: LatencyTable) -> dict[str, float]:
    from statistics import median

    runs = [entry.runs for entry in table.entries.values()] or [0]
    return {"operators": len(table.entries), "least": min(runs), "median": median(runs), "most": max(runs)}
