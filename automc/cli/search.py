"""``automc search``: a search from a configuration to its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automc.cli.output import JsonFlag

if TYPE_CHECKING:
    from automc.campaigns import SearchResult


def search(
    config: Annotated[Path, typer.Argument(help="The search's configuration, YAML.", metavar="CONFIG.yaml")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to.  [default: runs/<name of CONFIG>]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search that was interrupted.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Search for the policy that keeps a budget with the least loss, and write recipe, model and report."""
    from automc import progress
    from automc.campaigns import load_config, output_folder, run_search, unfinished

    settings = load_config(config)
    folder = out or output_folder(config)
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
