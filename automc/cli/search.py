"""``automc search``: a search from a configuration to its report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from automc.cli.compute import RayAddress, Workers, compute_asked
from automc.cli.output import JsonFlag

if TYPE_CHECKING:
    from automc.campaigns import SearchResult


def search(
    config: Annotated[Path, typer.Argument(help="The search's configuration, YAML.", metavar="CONFIG.yaml")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to.  [default: runs/<name of CONFIG>]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search that was interrupted.")] = False,
    workers: Workers = None,
    ray_address: RayAddress = None,
    as_json: JsonFlag = False,
    driver: Annotated[bool, typer.Option("--driver", hidden=True)] = False,
) -> None:
    """Search for the policy that keeps a budget with the least loss, and write recipe, model and report."""
    from automc import progress
    from automc.campaigns import load_config, output_folder, run_search, unfinished
    from automc.campaigns.launch import with_compute

    settings = with_compute(load_config(config), compute_asked(workers, ray_address))
    folder = out or output_folder(config)
    if settings.compute.on_ray and not driver:
        _supervise(folder)
    try:
        result = run_search(settings, config.parent, folder, resume)
    except KeyboardInterrupt:
        if unfinished(folder):
            progress.say("Finished evaluations are kept; go on with the same command and --resume")
        raise
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
    else:
        show(result, folder)


def _supervise(folder: Path) -> NoReturn:
    """Runs this very command as a driver, which is started again where it loses its cluster."""
    from automc.campaigns.campaign import Campaign
    from automc.campaigns.drive import FOREGROUND
    from automc.campaigns.journal import FILE
    from automc.campaigns.launch import AUTOMC
    from automc.campaigns.storage import Storage, sqlite_url
    from automc.campaigns.studies import names
    from automc.campaigns.supervisor import Supervisor

    @contextlib.contextmanager
    def campaign() -> Iterator[Campaign | None]:
        if not (folder / FILE).exists():
            yield None
            return
        storage = Storage(sqlite_url(folder / FILE), patient=True)
        try:
            yield Campaign(storage, FOREGROUND) if FOREGROUND in names(storage) else None
        finally:
            storage.close()

    command = [*AUTOMC, *sys.argv[1:], "--driver"]
    sys.exit(Supervisor(lambda again: [*command, "--resume"] if again else command, campaign).run())


def show(result: SearchResult, folder: Path) -> None:
    """Prints a result's table and verdict, and where its files lie."""
    from rich.console import Console

    from automc.campaigns import render_table

    Console().print(render_table(result))
    for name, what in (
        ("report.html", "the report, one page"),
        ("recipe.yaml", "the recipe; its weights are model.safetensors"),
        ("model.onnx", "runs under plain onnxruntime"),
        ("model.pt2", "runs under plain torch (torch.export.load)"),
        ("result.json", "all figures, for scripts"),
    ):
        typer.echo(f"{folder / name}: {what}")
