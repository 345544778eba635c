"""``automc latency``: measuring a device, and the commands about its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automc.cli import latency_files, latency_query, latency_show, latency_validate
from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json
from automc.cli.tables import Batch, DeviceName, Threads

_FEW, _MANY = 4, 32  # options taken of each width, measured first and where they are least sure

app = typer.Typer(help="Measure how long a device takes for each operator, and query it.", no_args_is_help=True)


@app.command()
def measure(
    subject: Annotated[str, typer.Argument(help=SUBJECT_HELP)],
    out: Annotated[Path | None, typer.Option(help="The table's file, begun or extended.  [default: your own]")] = None,
    minutes: Annotated[float, typer.Option(help="Begin no further operators after it.", min=0)] = 2.0,
    networks: Annotated[
        int, typer.Option(help="Random policies that are measured whole, to correct what operators add up to.", min=0)
    ] = 24,
    device: DeviceName = None,
    threads: Threads = None,
    batch: Batch = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure the operators that compressing this network can produce, first a few of each, then the least sure.

    What is measured is kept every few seconds: stop it when you like, the same command goes on where it stopped.
    """
    from automc.campaigns import calibrate
    from automc.campaigns.networks import LEAST
    from automc.cli.inspect import load_subject, name_of
    from automc.costs import CostModel
    from automc.errors import ConfigError
    from automc.latency_tables import ensure_table, save_table, table_path
    from automc.search_spaces import build_space

    if 0 < networks < LEAST:
        raise ConfigError(f"--networks {networks}: too few to correct anything by; measure {LEAST} or more, or 0")
    read, config = load_subject(subject, target=device, threads=threads, batch=batch)
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


app.command()(latency_validate.validate)
app.command("list")(latency_show.list_tables)
app.command()(latency_show.show)
app.command()(latency_query.query)
app.command()(latency_show.compare)
app.command("export")(latency_files.export)
app.command("import")(latency_files.import_)
app.command("upload")(latency_files.upload)
app.command("download")(latency_files.download)
