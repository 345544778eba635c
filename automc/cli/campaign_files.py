"""``automc campaign export``, ``import`` and ``download``: a campaign as one file, or some of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automc.cli.campaign_drive import StorageOption, opened
from automc.cli.workspaces import ServerOption, open_workspace

RECIPE, WEIGHTS = "recipe.yaml", "model.safetensors"


def export(
    name: Annotated[str, typer.Argument(help="The campaign.")],
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Write a campaign, its evaluations and its results to one file, to be imported elsewhere."""
    with open_workspace(storage, server) as there:
        there.campaigns.download(name, f"{name}.campaign", file)
    typer.echo(f"{file}: all of {name}; elsewhere: automc campaign import {file.name}")


def download(
    name: Annotated[str, typer.Argument(help="The campaign.")],
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            help="Which of its files; a recipe comes with its weights.  [default: recipe.yaml]",
            metavar="[FILE]...",
            show_default=False,
        ),
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="The folder to write to.", metavar="DIR")] = Path(),
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Fetch what a campaign has found: by default its recipe with the weights that belong to it."""
    wanted = dict.fromkeys(chosen or [RECIPE])
    if RECIPE in wanted:
        wanted |= {WEIGHTS: None}
    with open_workspace(storage, server) as there:
        for file in wanted:
            typer.echo(there.campaigns.download(name, file, to / Path(file).name))


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
