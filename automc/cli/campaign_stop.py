"""``automc campaign pause|cancel|delete``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Literal

import typer

from automc.cli.campaign_drive import Name, StorageOption
from automc.cli.workspaces import ServerOption, open_workspace

NoWait = Annotated[bool, typer.Option("--no-wait", help="Ask for it, and do not wait until it is so.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.", min=0)]

_LOOK = 0.3  # seconds between two looks whether it has stopped


def _stopping(what: Literal["pause", "cancel"], text: str) -> Callable[..., None]:
    """Returns the command that asks for this, with its help."""

    def command(
        name: Name,
        no_wait: NoWait = False,
        timeout: Timeout = 600,
        storage: StorageOption = None,
        server: ServerOption = None,
    ) -> None:
        _ask(name, what, storage, server, 0 if no_wait else timeout)

    command.__doc__ = text
    return command


_PAUSE = "Pause a campaign: what is being evaluated ends first, `automc campaign resume` goes on with the rest."
_CANCEL = "Cancel a campaign, for good: what is being evaluated is given up, what has ended is kept."

pause, cancel = _stopping("pause", _PAUSE), _stopping("cancel", _CANCEL)


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    with_files: Annotated[bool, typer.Option("--files", help="Delete the files that it wrote, too.")] = False,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Delete a campaign with all its evaluations; the files that it wrote stay."""
    from automc.errors import ConfigError

    with open_workspace(storage, server) as there:
        found = there.campaigns.show(name)
        if found.state == "running":
            raise ConfigError(f"{name} is running; cancel it first: automc campaign cancel {name}")
        folder = f"in {found.folder}" if found.folder else "on the server"
        what = f"{found.evaluations} evaluations" + (f" and its files {folder}" if with_files else "")
        if not yes:
            typer.confirm(f"Delete {name}, {what}?", abort=True)
        there.campaigns.delete(name, with_files)
    typer.echo(f"{name} is deleted" + ("" if with_files else f"; its files stay {folder}"))


def _ask(name: str, what: Literal["pause", "cancel"], storage: str | None, server: str | None, timeout: float) -> None:
    from automc.errors import SearchError

    wanted = "paused" if what == "pause" else "cancelled"
    ended = {wanted, "finished", *(("failed", "cancelled") if what == "pause" else ())}
    with open_workspace(storage, server) as there:
        ask = there.campaigns.pause if what == "pause" else there.campaigns.cancel
        if there.campaigns.show(name).state == wanted:
            typer.echo(f"{name} is {wanted} already")
            return
        found = ask(name)
        until = time.monotonic() + timeout
        while found.state not in ended and time.monotonic() < until:
            time.sleep(_LOOK)
            found = there.campaigns.show(name)
            if found.driver is None and found.state not in ended:  # it was killed meanwhile, and the wish with it
                found = ask(name)
    if found.state == wanted:
        typer.echo(f"{name} is {wanted}; {found.evaluations} evaluations are kept")
    elif found.state in ended:
        why = f": {found.reason}" if found.reason else ""
        raise SearchError(f"{name} {found.state} before it could be {wanted}{why}")
    elif not timeout:
        typer.echo(f"{name} was asked to {what}")
    else:
        raise SearchError(
            f"{name} was not {wanted} within {timeout:g} s: {found.under_way} evaluations under way are waited for; "
            f"it will be when these have ended (watch it: automc campaign watch {name})"
        )
