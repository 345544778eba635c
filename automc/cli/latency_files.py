"""``automc latency export``, ``import``, ``upload`` and ``download``: tables for and from others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automc.cli.output import SUBJECT_HELP, JsonFlag, print_json
from automc.cli.tables import Batch, DeviceName, TablePath, Threads, read_source, table_of
from automc.cli.workspaces import ServerOption, open_tables


def export(
    file: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE.csv")],
    table: TablePath = None,
    device: DeviceName = None,
    threads: Threads = None,
    batch: Batch = None,
) -> None:
    """Write a table's operators as comma-separated values."""
    from automc.errors import ConfigError
    from automc.latency_tables.formats import write_csv

    if file.suffix.lower() != ".csv":
        raise ConfigError(f"{file}: tables are exported as .csv; name such a file")
    found = table_of(read_source(table, device, threads, batch))
    write_csv(found, file)
    typer.echo(f"{file}: {len(found.entries)} operators")


def upload(
    file: Annotated[Path, typer.Argument(help="A table's file, as --out of `automc latency measure` writes it.")],
    replace: Annotated[bool, typer.Option("--replace", help="In place of the server's table of this device.")] = False,
    server: ServerOption = None,
) -> None:
    """Send a table to a server, for all who ask it."""
    from automc.errors import ConfigError

    if server is None:
        raise ConfigError("to which server? --server URL, or AUTOMC_SERVER")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"{file}: cannot be read ({reason})") from None
    with open_tables(server) as there:
        added = there.add(text, replace)
    typer.echo(f"{added.id}: {added.operators} operators; automc latency show --table {added.id} --server {server}")


def download(
    table: Annotated[str, typer.Argument(help="Which table (automc latency list).", metavar="ID")],
    file: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE.yaml")],
    server: ServerOption = None,
) -> None:
    """Fetch a table of a server, or of your own, as a file."""
    from automc import files

    with open_tables(server) as there:
        files.write_text(file, there.text(table))
    typer.echo(file)


def import_(
    file: Annotated[
        Path, typer.Argument(help="HAQ's array (.npy), or a table of ProxylessNAS or once-for-all (.yaml).")
    ],
    out: Annotated[Path | None, typer.Option(help="The table to write.  [default: FILE.table.yaml beside it]")] = None,
    model: Annotated[str | None, typer.Option(help=f"The network that an array is of. {SUBJECT_HELP}")] = None,
    unit: Annotated[
        str | None, typer.Option(help="Of its numbers: us, ms, s, or cycles:MHz.  [default: ms for .yaml]")
    ] = None,
    batch: Annotated[int, typer.Option(help="Examples in the inference that an array's numbers are for.", min=1)] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Read another program's latencies; the table says where it is from, and answers for nothing else."""
    from automc import files
    from automc.cli.inspect import load_subject
    from automc.errors import ConfigError
    from automc.latency_tables import save_table
    from automc.latency_tables.formats import read_blocks, read_haq

    path = out or file.with_suffix(".table.yaml")
    if path.resolve() == file.resolve():
        raise ConfigError(f"{path}: that is the file to read; name another: --out")
    if file.suffix == ".npy":
        if model is None or unit is None:
            raise ConfigError(
                f"{file}: an array says neither of which network it is nor in what: --model TASK --unit UNIT"
            )
        read, _ = load_subject(model, batch=batch)
        table = read_haq(file, read.graph, [name for name, _ in read.model.named_modules()], unit)
    elif file.suffix in (".yaml", ".yml"):
        table = read_blocks(file, unit or "ms")
    else:
        raise ConfigError(f"{file}: known are HAQ's arrays (.npy) and tables of ProxylessNAS and once-for-all (.yaml)")
    files.ensure_writable(path.parent)
    save_table(table, path)
    if as_json:
        print_json({"path": str(path), "operators": len(table.entries), "imported": table.imported})
    else:
        typer.echo(f"{path}: {len(table.entries)} operators, imported from {table.imported}")
