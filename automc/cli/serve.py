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
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A name by which others ask for it, behind a proxy, say; may be repeated.", metavar="NAME"),
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Address of a reverse proxy that tells who asks.", metavar="ADDRESS")
    ] = None,
    campaigns_per_minute: Annotated[int, typer.Option(help="That one client may start.", min=1)] = 30,
) -> None:
    """Serve API and dashboard to a team, until Ctrl-C; campaigns that run go on.

    Without tokens (automc token create) it serves this machine only, and whoever is on it.
    """
    from automc.service.security import Limits
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
        allowed_host or (),
        proxy,
        Limits(campaigns=campaigns_per_minute),
    )
