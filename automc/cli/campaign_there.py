"""``automc campaign start|resume --server``: campaigns that a server drives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from automc.cli.workspaces import open_workspace

if TYPE_CHECKING:
    from automc.workspace.answers import CampaignDetail


def start_there(config: Path, name: str | None, workers: int | None, server: str) -> None:
    """Asks a server for the campaign that a file describes; its task is the name of one that is registered there.

    Raises:
        ConfigError: the file makes no sense, or names what only the server's operator may: code or paths.
    """
    from automc import files
    from automc.errors import ConfigError, Invalid
    from automc.workspace.answers import CampaignRequest, ConfigFile

    said = files.read_yaml(config, ConfigFile, ConfigError)
    keys = dict(said.model_extra or {})
    if workers is not None:
        compute = keys.get("compute")
        keys["compute"] = {**(compute if isinstance(compute, dict) else {}), "workers": workers}
    asked = {"name": name, "task": said.task, "config": keys}
    request = files.parse(asked, CampaignRequest, ConfigError, str(config))
    with open_workspace(None, server) as there:
        try:
            found = there.campaigns.start(request)
        except Invalid as error:
            wrong = (f"{where.removeprefix('config.')}: {what}" for where, what in error.fields)
            raise ConfigError(f"{config}: {'; '.join(wrong)}") from None
    _say(found, server)


def resume_there(name: str, workers: int | None, server: str) -> None:
    """Asks a server to go on with a campaign."""
    with open_workspace(None, server) as there:
        found = there.campaigns.resume(name, workers)
    _say(found, server)


def _say(found: CampaignDetail, server: str) -> None:
    typer.echo(f"{found.name} is {'in line' if found.waiting else found.state} at {server}")
    for what in ("watch", "pause"):
        typer.echo(f"{what} it:  automc campaign {what} {found.name} --server {server}")
