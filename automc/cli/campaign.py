"""``automc campaign``: searches that run in the background, are kept in one storage, and lose nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automc.cli.campaign_drive import Name, StorageOption, drive, go_on, opened, supervise
from automc.cli.campaign_files import export, import_
from automc.cli.campaign_proxy import proxy
from automc.cli.campaign_show import compare, list_campaigns, show
from automc.cli.campaign_stop import cancel, delete, pause
from automc.cli.campaign_watch import watch
from automc.cli.compute import RayAddress, Workers, compute_asked, with_compute

if TYPE_CHECKING:
    from automc.campaigns.config import SearchConfig
    from automc.campaigns.storage import Storage

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
) -> None:
    """Start a campaign; it goes on when you log out, and when its driver is killed."""
    from automc import files
    from automc.campaigns import load_config, unfinished
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.workers import check_compute
    from automc.errors import ConfigError
    from automc.tasks import load_task

    asked = compute_asked(workers, ray_address)
    settings = with_compute(load_config(config), asked)
    load_task(settings.task, settings.task_args, config.parent)
    settings.device.open()
    check_compute(settings.compute)
    with opened(storage, begin=True) as there:
        chosen = name or _free_name(config.stem, there)
        folder = out or Path("runs") / chosen
        _refuse_shared(folder, there, chosen)
        if unfinished(folder):
            raise ConfigError(f"{folder} has a search that has not ended; choose another folder: --out")
        files.ensure_writable(folder)
        campaign = Campaign.create(there, chosen, settings, config.parent, folder, config, asked)
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
) -> None:
    """Go on with a campaign that was paused, that failed, or whose machine went down."""
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.workers import check_compute
    from automc.errors import ConfigError

    with opened(storage) as there:
        campaign = Campaign(there, name)
        status = campaign.status()
        if status.state == "running":
            raise ConfigError(
                f"{name} is running (driver: {status.driver or 'starting'}); watch it: automc campaign watch {name}"
            )
        if status.state in ("finished", "cancelled"):
            raise ConfigError(f"{name} is {status.state}; begin another one: automc campaign start")
        record = status.record
        settings = record.config
        if record.source is not None and record.source.exists() and not as_started:
            settings = _unchanged(name, settings, record.source)
        asked = record.asked | compute_asked(workers, ray_address)
        settings = with_compute(settings, asked)
        check_compute(settings.compute)
        campaign.change(settings, asked)
        campaign.queue()
        go_on(campaign, storage, foreground)


def _unchanged(name: str, there: SearchConfig, source: Path) -> SearchConfig:
    """Reads a campaign's file again; refuses one whose evaluations would differ."""
    from automc.campaigns import load_config
    from automc.campaigns.campaign import difference
    from automc.errors import ConfigError

    rest = f"go on with what {name} was started with: --as-started; or start another campaign"
    try:
        here = load_config(source)
    except ConfigError as error:
        raise ConfigError(f"{error}; mend it, or {rest}") from None
    if here.deciding() != there.deciding():
        what = difference(there.deciding(), here.deciding())
        raise ConfigError(f"{source} has changed since {name} was started ({what}); change it back, or {rest}")
    return here


def _free_name(stem: str, storage: Storage) -> str:
    from automc.campaigns.campaign import names

    base, taken = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "campaign", names(storage)
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _refuse_shared(folder: Path, storage: Storage, name: str) -> None:
    from automc.campaigns.campaign import Campaign, names
    from automc.errors import ConfigError

    for other in names(storage):
        if other != name and Campaign(storage, other).record.out == folder.resolve():
            raise ConfigError(f"{folder} is where {other} writes to; choose another folder: --out")


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
app.command("export")(export)
app.command("import")(import_)
app.command("proxy")(proxy)
app.command("supervise", hidden=True)(supervise)
app.command("drive", hidden=True)(drive)
