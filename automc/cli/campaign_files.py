"""``automc campaign export`` and ``import``: a campaign as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automc.cli.campaign_drive import StorageOption, opened


def export(
    name: Annotated[str, typer.Argument(help="The campaign.")],
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    storage: StorageOption = None,
) -> None:
    """Write a campaign, its evaluations and its results to one file, to be imported elsewhere."""
    from automc.campaigns.archive import export_campaign
    from automc.campaigns.campaign import Campaign

    with opened(storage) as there:
        export_campaign(Campaign(there, name), file)
    typer.echo(f"{file}: all of {name}; elsewhere: automc campaign import {file.name}")


def import_(
    file: Annotated[Path, typer.Argument(help="The file that was exported.")],
    name: Annotated[str | None, typer.Option(help="What to call it.  [default: as it was called]")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for its results.  [default: runs/<its name>]")] = None,
    storage: StorageOption = None,
) -> None:
    """Add a campaign from a file. Nothing of the file is executed."""
    from automc.campaigns.archive import import_campaign

    with opened(storage, begin=True) as there:
        campaign = import_campaign(there, file, name, out)
        status = campaign.status()
    typer.echo(f"{campaign.name}: {status.evaluations} evaluations, {status.state}")
