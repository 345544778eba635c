"""``automc campaign pause|cancel|delete``."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import typer

from automc.cli.campaign_drive import Name, StorageOption, opened

NoWait = Annotated[bool, typer.Option("--no-wait", help="Ask for it, and do not wait until it is so.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.", min=0)]


def pause(name: Name, no_wait: NoWait = False, timeout: Timeout = 600, storage: StorageOption = None) -> None:
    """Pause a campaign: what is being evaluated ends first, `automc campaign resume` goes on with the rest."""
    _ask(name, "pause", storage, 0 if no_wait else timeout)


def cancel(name: Name, no_wait: NoWait = False, timeout: Timeout = 600, storage: StorageOption = None) -> None:
    """Cancel a campaign, for good: what is being evaluated is given up, what has ended is kept."""
    _ask(name, "cancel", storage, 0 if no_wait else timeout)


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    with_files: Annotated[bool, typer.Option("--files", help="Delete the files that it wrote, too.")] = False,
    storage: StorageOption = None,
) -> None:
    """Delete a campaign with all its evaluations; the files that it wrote stay."""
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.launch import delete_files
    from automc.errors import ConfigError

    with opened(storage) as there:
        campaign = Campaign(there, name)
        status = campaign.status()
        if status.state == "running":
            raise ConfigError(f"{name} is running; cancel it first: automc campaign cancel {name}")
        what = f"{status.evaluations} evaluations" + (f" and its files in {status.record.out}" if with_files else "")
        if not yes:
            typer.confirm(f"Delete {name}, {what}?", abort=True)
        campaign.delete()
    if with_files:
        delete_files(status.record.out)
    typer.echo(f"{name} is deleted" + ("" if with_files else f"; its files stay in {status.record.out}"))


def _ask(name: str, what: Literal["pause", "cancel"], storage: str | None, timeout: float) -> None:
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.launch import check_stop
    from automc.errors import SearchError

    wanted = "paused" if what == "pause" else "cancelled"
    with opened(storage) as there:
        campaign = Campaign(there, name)
        if not check_stop(campaign, what):
            typer.echo(f"{name} is {wanted} already")
            return
        campaign.wish(what)
        until = time.monotonic() + timeout
        while (status := campaign.status()).state not in (wanted, "finished") and time.monotonic() < until:
            time.sleep(0.2)
            if status.driver is None:  # it was killed meanwhile, and the wish with it
                campaign.wish(what)
    if status.state == "finished":
        raise SearchError(f"{name} finished before it could be {wanted}")
    if status.state == wanted:
        typer.echo(f"{name} is {wanted}; {status.evaluations} evaluations are kept")
    elif not timeout:
        typer.echo(f"{name} was asked to {what}")
    else:
        raise SearchError(
            f"{name} was not {wanted} within {timeout:g} s: {status.under_way} evaluations under way are waited for; "
            f"it will be when these have ended (watch it: automc campaign watch {name})"
        )
