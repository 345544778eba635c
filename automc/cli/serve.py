"""``automc serve``: the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automc.cli.campaign_drive import StorageOption
from automc.cli.demo import DEMO, TASK


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any that is free.", min=0, max=65535)] = 8000,
    registry: Annotated[
        Path | None, typer.Option(help="What a team may use: tasks, agents, devices.", metavar="REGISTRY.yaml")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files of campaigns.")] = Path("runs"),
    demo: Annotated[bool, typer.Option("--demo", help="Start a campaign to look at, where there is none.")] = False,
    storage: StorageOption = None,
) -> None:
    """Serve API and dashboard to a team, until Ctrl-C; campaigns that run go on."""
    from automc.service.serve import serve as run
    from automc.workspace import Registry, load_registry
    from automc.workspace.answers import CampaignRequest

    first = CampaignRequest(name="demo", task=TASK, config=DEMO) if demo else None

    run(
        host,
        port,
        storage,
        out,
        Registry() if registry is None else load_registry(registry),
        first,
        lambda address: typer.echo(f"AutoMC serves on {address}; Ctrl-C ends it, campaigns go on"),
    )
