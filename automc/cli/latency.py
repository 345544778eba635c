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
    threads: Threads = 1,
    batch: Batch = 1,
    as_json: JsonFlag = False,
) -> None:
    """Measure the operators that compressing this network can produce, first a few of each, then the least sure.

    What is measured is kept every few seconds: stop it when you like, the same command goes on where it stopped.
    """
    from automc.campaigns import calibrate, read_subject
    from automc.cli.inspect import load_subject
    from automc.costs import CostModel
    from automc.devices import LocalBench
    from automc.latency_tables import ensure_table, save_table, table_path
    from automc.search_spaces import build_space

    read, config = load_subject(subject)
    bench = read.bench
    if (threads, batch) != (read.device.threads, read.device.batch):
        bench = LocalBench(threads, batch)
        read = read_subject(read.task, bench)
    space = build_space(read.graph, config, read.device.channel_multiple, read.device.precisions)
    costs, path = CostModel(read.graph, space), out or table_path(read.device)
    few, many = costs.all_signatures(_FEW), costs.all_signatures(_MANY)
    table, reused = ensure_table(bench, few, many, 60 * minutes, path)
    known = sum(whole.subject == subject for whole in table.wholes)
    whole = all(map(table.covers, few))  # not where time was over before
    if networks and whole and not (reused and known >= networks):
        table = calibrate(read, space, table, networks, name=subject)
        save_table(table, path)
    if as_json:
        print_json({"path": str(path), "operators": len(table.entries)})
    else:
        typer.echo(f"{path}: {len(table.entries)} operators")


@app.command()
def show(
    table: TablePath = None,
    threads: Threads = 1,
    batch: Batch = 1,
    contains: Annotated[str, typer.Option(help="Only operators whose line contains this.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Show a table: what it was measured on, and its operators."""
    from automc.latency_tables.validation import trust

    path, found = _open(table, threads, batch)
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
    device = found.device
    typer.echo(f"{path}\n{device.processor}, {device.runtime}, {device.threads} thread(s), batch {device.batch}")
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
    threads: Threads = 1,
    batch: Batch = 1,
    as_json: JsonFlag = False,
) -> None:
    """Ask for one operator; between measured widths the answer is interpolated and says so."""
    from automc.latency_tables import Signature

    wanted = Signature.parse(signature)
    entry = _open(table, threads, batch)[1].lookup(wanted)
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


def _open(path: Path | None, threads: int, batch: int) -> tuple[Path, LatencyTable]:
    from automc.devices import Device
    from automc.errors import TableError
    from automc.latency_tables import load_table, table_path

    if path is None:
        path = table_path(Device.local(threads, batch))
        if not path.exists():
            raise TableError(
                f"no latency table yet for this device at {threads} thread(s), batch {batch}; "
                "measure one: automc latency measure TASK"
            )
    return path, load_table(path)
