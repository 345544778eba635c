"""``automc latency``: measuring a device, and the commands about its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automc.cli import latency_files, latency_query, latency_show
from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json
from automc.cli.tables import Batch, DeviceName, Threads

app = typer.Typer(help="Measure how long a device takes for each operator, and query it.", no_args_is_help=True)


@app.command()
def measure(
    subject: Annotated[str, typer.Argument(help=SUBJECT_HELP)],
    out: Annotated[Path | None, typer.Option(help="Write a new table here, instead of extending your own.")] = None,
    device: DeviceName = None,
    threads: Threads = None,
    batch: Batch = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure all operators that compressing this network can produce."""
    from automc import files
    from automc.cli.inspect import load_subject
    from automc.costs import CostModel
    from automc.errors import ConfigError
    from automc.latency_tables import Hardware, ensure_table, measure_table, save_table, table_path
    from automc.search_spaces import build_space

    if out is not None:
        files.ensure_writable(out.parent)
    read, config = load_subject(subject, target=device, threads=threads, batch=batch)
    if isinstance(read.target, Hardware):
        raise ConfigError(f"{read.device.name} is simulated: it answers by its formulas, there is nothing to measure")
    space = build_space(read.graph, config, read.device.channel_multiple, read.device.precisions)
    signatures = CostModel(read.graph, space).all_signatures()
    if out is not None:
        table, path = measure_table(read.target, signatures), out
        save_table(table, out)
    else:
        table, path = ensure_table(read.target, signatures)[0], table_path(read.device)
    if as_json:
        print_json({"path": str(path), "operators": len(table.entries)})
    else:
        typer.echo(f"{path}: {len(table.entries)} operators")


app.command()(latency_show.show)
app.command()(latency_query.query)
app.command()(latency_show.compare)
app.command("export")(latency_files.export)
app.command("import")(latency_files.import_)
