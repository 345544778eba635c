"""``automc campaign``: searches that run in the background, are kept in one storage, and lose nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automc.cli.campaign_drive import Name, StorageOption, drive, go_on, opened, supervise
from automc.cli.campaign_files import download, export, import_
from automc.cli.campaign_proxy import proxy
from automc.cli.campaign_show import compare, list_campaigns, show
from automc.cli.campaign_stop import cancel, delete, pause
from automc.cli.campaign_there import resume_there, start_there
from automc.cli.campaign_watch import watch
from automc.cli.compute import RayAddress, Workers, compute_asked
from automc.cli.workspaces import ServerOption, only_here

app = typer.Typer(help="Search in the background, on one machine or many: start, watch, pause, go on, compare.")
Foreground = Annotated[bool, typer.Option("--foreground", help="Stay, until it has ended or Ctrl-C pauses it.")]


def start(
    config: Annotated[Path, typer.Argument(help="The search's configuration, YAML.", metavar="CONFIG.yaml")],
    name: Annotated[str | None, typer.Option(help="What to call it.  [default: CONFIG's name]")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.  [default: runs/<its name>]")] = None,
    workers: Workers = None,
    ray_address: RayAddress = None,
    foreground: Foreground = False,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Start a campaign; it goes on when you log out, and when its driver is killed."""
    from automc.campaigns import load_config
    from automc.campaigns.launch import create, free_name, with_compute

    if server is not None:
        only_here(out=out, ray_address=ray_address, foreground=foreground, storage=storage)
        start_there(config, name, workers, server)
        return
    asked = compute_asked(workers, ray_address)
    settings = with_compute(load_config(config), asked)
    with opened(storage, begin=True) as there:
        chosen = name or free_name(config.stem, there)
        out = out or Path("runs") / chosen
        campaign = create(there, chosen, settings, config.parent, out, source=config, asked=asked)
        go_on(campaign, storage, foreground)


def resume(
    name: Name,
    workers: Workers = None,
    ray_address: RayAddress = None,
    as_started: Annotated[
        bool, typer.Option("--as-started", help="Whatever its configuration file says by now.")
    ] = False,
    foreground: Foreground = False,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Go on with a campaign that was paused, that failed, or whose machine went down."""
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.launch import queue_again

    if server is not None:
        only_here(ray_address=ray_address, foreground=foreground, storage=storage)
        resume_there(name, workers, server)
        return
    with opened(storage) as there:
        campaign = Campaign(there, name)
        queue_again(campaign, compute_asked(workers, ray_address), as_started)
        go_on(campaign, storage, foreground)


# in the order of help: a campaign's life
app.command("start")(start)
app.command("list")(list_campaigns)
app.command("show")(show)
app.command("watch")(watch)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("cancel")(cancel)
app.command("compare")(compare)
app.command("delete")(delete)
app.command("download")(download)
app.command("export")(export)
app.command("import")(import_)
app.command("proxy")(proxy)
app.command("supervise", hidden=True)(supervise)
app.command("drive", hidden=True)(drive)
