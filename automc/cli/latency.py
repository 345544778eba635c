"""``automc latency``: measuring this machine and asking its table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from automc.latency_tables import LatencyTable

_FEW, _MANY = 4, 32  # options taken of each width, measured first and where they are least sure

app = typer.Typer(help="Measure how long this machine takes for each operator, and query it.", no_args_is_help=True)

DeviceName = Annotated[str, typer.Option("--device", help="local, or http://host:port of one far away.")]
Threads = Annotated[int, typer.Option(help="Threads of one inference.", min=1)]
Batch = Annotated[int, typer.Option(help="Examples in one inference.", min=1)]
TablePath = Annotated[Path | None, typer.Option("--table", help="A table's file.  [default: this device's own]")]


@app.command()
def measure(
    subject: Annotated[str, typer.Argument(help=SUBJECT_HELP)],
    out: Annotated[Path | None, typer.Option(help="The table's file, begun or extended.  [default: your own]")] = None,
    minutes: Annotated[float, typer.Option(help="Begin no further operators after it.", min=0)] = 2.0,
    networks: Annotated[
        int, typer.Option(help="Random policies that are measured whole, to correct what operators add up to.", min=0)
    ] = 24,
    device: Annotated[str | None, typer.Option(help="local, or http://host:port of one far away.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one inference.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Examples in one inference.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure the operators that compressing this network can produce, first a few of each, then the least sure.

    What is measured is kept every few seconds: stop it when you like, the same command goes on where it stopped. The
    device, its threads and its examples of one inference are the configuration's where they are not given.
    """
    from automc.campaigns import calibrate
    from automc.cli.inspect import load_subject, name_of
    from automc.costs import CostModel
    from automc.latency_tables import ensure_table, save_table, table_path
    from automc.search_spaces import build_space

    read, config = load_subject(subject, device, threads, batch)
    name = name_of(subject)
    space = build_space(read.graph, config, read.device.channel_multiple, read.device.precisions)
    costs, path = CostModel(read.graph, space), out or table_path(read.device)
    few, many = costs.all_signatures(_FEW), costs.all_signatures(_MANY)
    table, reused = ensure_table(read.bench, few, many, 60 * minutes, path)
    known = sum(whole.subject == name for whole in table.wholes)
    whole = all(map(table.covers, few))  # not where time was over before
    if networks and whole and not (reused and known >= networks):
        table = calibrate(read, space, table, networks, name=name)
        save_table(table, path)
    if as_json:
        print_json({"path": str(path), "operators": len(table.entries)})
    else:
        typer.echo(f"{path}: {len(table.entries)} operators")


@app.command()
def show(
    table: TablePath = None,
    device: DeviceName = "local",
    threads: Threads = 1,
    batch: Batch = 1,
    contains: Annotated[str, typer.Option(help="Only operators whose line contains this.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Show a table: what it was measured on, and its operators."""
    from automc.latency_tables.validation import trust

    path, found = _open(table, device, threads, batch)
    entries = {str(s): e for s, e in sorted(found.entries.items()) if contains in str(s)}
    overhead = asdict(found.overhead)
    if as_json:
        print_json(
            {
                "path": str(path),
                "device": found.device.model_dump(mode="json"),
                "measured_at": found.measured_at,
                "overhead_us": overhead,
                "validations": [validation.model_dump(mode="json") for validation in found.validations],
                "operators": {line: {"us": e.us, "low": e.low, "high": e.high} for line, e in entries.items()},
            }
        )
        return
    on = found.device
    typer.echo(f"{path}\n{on.processor}, {on.runtime}, {on.threads} thread(s), batch {on.batch}")
    typer.echo(
        f"measured {found.measured_at}; overhead {overhead['run']} us a run, {overhead['kernel']} us a kernel, "
        f"{overhead['int8']} us a kernel in int8"
    )
    typer.echo(trust(found.validations))
    print_table(
        f"{len(entries)} of {len(found.entries)} operators",
        ["operator", "us", "quartiles"],
        [(line, e.us, f"{e.low} to {e.high}") for line, e in entries.items()],
    )


@app.command()
def query(
    signature: Annotated[str, typer.Argument(help="An operator as `automc latency show` writes it, in quotes.")],
    table: TablePath = None,
    device: DeviceName = "local",
    threads: Threads = 1,
    batch: Batch = 1,
    as_json: JsonFlag = False,
) -> None:
    """Ask for one operator; between measured widths the answer is interpolated and says so."""
    from automc.latency_tables import Signature

    wanted = Signature.parse(signature)
    entry = _open(table, device, threads, batch)[1].lookup(wanted)
    if as_json:
        print_json(
            {
                "operator": str(wanted),
                "us": entry.us,
                "low": entry.low,
                "high": entry.high,
                "how": entry.how,
            }
        )
    else:
        typer.echo(f"{wanted}: {entry.us} us ({entry.low} to {entry.high}), {entry.how}")


def _open(path: Path | None, device: str, threads: int, batch: int) -> tuple[Path, LatencyTable]:
    from automc.errors import TableError
    from automc.latency_tables import load_table, open_target, table_path

    if path is None:
        path = table_path(open_target(device, threads, batch).device)
        if not path.exists():
            raise TableError(
                f"no latency table yet for device {device} at {threads} thread(s), batch {batch}; "
                f"measure one: automc latency measure TASK --device {device}"
            )
    return path, load_table(path)
