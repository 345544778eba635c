"""``automc device``: lending this machine to a workbench far away, and asking what a device is."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from automc.cli.output import JsonFlag, print_json, print_table
from automc.cli.workspaces import ServerOption, open_catalog
from automc.devices.addresses import PORT, TOKEN, TOKEN_FILE

app = typer.Typer(help="Lend this machine to a workbench far away, or ask what a device is.", no_args_is_help=True)

TokenFile = Annotated[
    Path | None,
    typer.Option(help=f"A file with the secret that both sides share.  [default: {TOKEN}, else {TOKEN_FILE}]"),
]


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; others than this can be reached by others.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0 takes any that is free.", min=0, max=65535)] = PORT,
    token_file: TokenFile = None,
    max_mb: Annotated[int, typer.Option(help="Size of all files of one measurement.", min=1)] = 1024,
    max_seconds: Annotated[float, typer.Option(help="Time of one measurement.", min=0.1)] = 3600,
    max_memory_mb: Annotated[
        int | None,
        typer.Option(help="Memory of one measurement.  [default: three quarters of this machine's]", min=64),
    ] = None,
    max_jobs: Annotated[int, typer.Option(help="Measurements that run or wait.", min=1, max=1000)] = 8,
    forget_after: Annotated[float, typer.Option(help="Seconds until a vanished workbench's is ended.", min=0.5)] = 30,
) -> None:
    """Let a workbench far away measure on this machine, until Ctrl-C. Needs no PyTorch."""
    from automc.devices import Device
    from automc.devices.addresses import find_token
    from automc.devices.server.jobs import Limits
    from automc.devices.server.serve import serve as run

    given = find_token(token_file)
    token = given or secrets.token_urlsafe(24)
    memory = (max_memory_mb << 20) if max_memory_mb else _memory() * 3 // 4
    limits = Limits(size=max_mb << 20, seconds=max_seconds, memory=memory, jobs=max_jobs, silence=forget_after)
    device = Device.local()

    def ready(url: str) -> None:
        typer.echo(f"{device.processor}, {device.runtime}: listening on {url}")
        if not given:
            typer.echo(f"On the workbench: export {TOKEN}={token}")

    run(host, port, token, limits, ready)


@app.command()
def show(
    device: Annotated[str, typer.Argument(help="local, or http://host:port.")] = "local",
    threads: Annotated[int, typer.Option(help="Threads of one inference.", min=1)] = 1,
    batch: Annotated[int, typer.Option(help="Examples in one inference.", min=1)] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Show what a device is: its processor, instruction sets and runtime."""
    from automc.devices import open_bench

    bench = open_bench(device, threads, batch)
    if bench is not None:
        found = bench.device
    else:
        from automc.latency_tables import open_target  # imports more than a machine that only serves needs

        found = open_target(device, threads, batch).device
    if as_json:
        print_json(found.model_dump(mode="json") | {"key": found.key})
        return
    typer.echo(f"{device}: {found.processor}, {found.runtime}, {found.threads} thread(s), batch {found.batch}")
    typer.echo(f"instruction sets: {', '.join(found.instructions) or 'none that matter'}")
    typer.echo(f"its latency tables are called {found.key}")


def _memory() -> int:
    """Returns this machine's memory in bytes; 4 GB where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 4 << 30


@app.command("list")
def list_devices(server: ServerOption = None, as_json: JsonFlag = False) -> None:
    """List the devices that a campaign may name, here or at a server."""
    with open_catalog(server) as there:
        found = there.devices()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    else:
        rows = [(one.name, one.what, one.table or "") for one in found]
        print_table("devices", ["name", "what it is", "latency table"], rows)
