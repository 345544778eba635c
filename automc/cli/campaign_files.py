"""``automc campaign export`` and ``import``: a campaign as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StorageOption = Annotated[
    str | None, typer.Option("--storage", help="Where campaigns are kept.  [default: $AUTOMC_STORAGE, or your own]")
]


def export(
    name: Annotated[str, typer.Argument(help="The campaign.")],
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    storage: StorageOption = None,
) -> None:
    """Write a campaign, its evaluations and its results to one file, to be imported elsewhere."""
    from automc.campaigns.archive import export_campaign
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.storage import Storage, default_storage

    export_campaign(Campaign(Storage(storage or default_storage(), create=False), name), file)
    typer.echo(f"{file}: all of {name}; elsewhere: automc campaign import {file.name}")


def import_(
    file: Annotated[Path, typer.Argument(help="The file that was exported.")],
    name: Annotated[str | None, typer.Option(help="What to call it.  [default: as it was called]")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for its results.  [default: runs/<its name>]")] = None,
    storage: StorageOption = None,
) -> None:
    """Add a campaign from a file. Nothing of the file is executed."""
    from automc.campaigns.archive import import_campaign
    from automc.campaigns.storage import Storage, default_storage

    campaign = import_campaign(Storage(storage or default_storage()), file, name, out)
    typer.echo(f"{campaign.name}: {campaign.status().evaluations} evaluations, {campaign.status().state}")
