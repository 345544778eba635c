"""``automc recipe list|show``: recipes of campaigns, here or on a server, and those in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automc.cli.campaign_drive import StorageOption
from automc.cli.output import JsonFlag, print_json, print_table
from automc.cli.workspaces import ServerOption, has_campaigns, open_workspace

if TYPE_CHECKING:
    from automc.recipes import Recipe
    from automc.workspace.answers import RecipeSummary


def list_recipes(storage: StorageOption = None, server: ServerOption = None, as_json: JsonFlag = False) -> None:
    """List what campaigns have found, those begun last first."""
    from automc.workspace.answers import MOST

    found: list[RecipeSummary] = []
    if has_campaigns(storage, server):  # else nobody has begun one yet
        with open_workspace(storage, server) as there:
            offset, total = 0, 1
            while offset < total:
                page = there.campaigns.recipes(offset=offset, limit=MOST)
                found += page.items
                offset, total = offset + MOST, page.total  # of some the files are gone: a page may lack items
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    elif not found:
        typer.echo("no recipes yet; a campaign that has finished has one: automc campaign list")
    else:
        columns = ["campaign", "task", "budget", "agent", "test score", "latency", "MACs", "size"]
        print_table("recipes", columns, [_line(one) for one in found], only_first_folds=True)


def show(
    recipe: Annotated[Path | None, typer.Argument(help="The recipe's file.", metavar="[RECIPE.yaml]")] = None,
    campaign: Annotated[str | None, typer.Option(help="That of a campaign instead of a file.", metavar="NAME")] = None,
    storage: StorageOption = None,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a recipe: its decisions, figures and provenance."""
    from automc.errors import ConfigError
    from automc.recipes import load_recipe

    if (recipe is None) == (campaign is None):
        raise ConfigError("say which recipe: its file RECIPE.yaml, or --campaign NAME (automc recipe list)")
    if campaign is None:
        assert recipe is not None
        if storage is not None:
            raise ConfigError("--storage is where campaigns are kept: name one, --campaign NAME, instead of a file")
        found = load_recipe(recipe)
    else:
        with open_workspace(storage, server) as there:
            found = there.campaigns.recipe(campaign)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)


def _line(one: RecipeSummary) -> tuple[str, ...]:
    """Returns a recipe's line in the list."""
    from automc.costs.units import format_cost
    from automc.tasks.metrics import format_score

    scores = (
        "" if score is None else format_score(score, one.metric) for score in (one.test_score, one.original_test_score)
    )
    latency = "" if one.measured_us is None else format_cost("latency", one.measured_us[1])
    if one.ratio is not None:
        latency += f" ({100 * one.ratio[1]:.0f}%)"
    shares = (
        f"{100 * now / before:.0f}%" for now, before in ((one.macs, one.original_macs), (one.size, one.original_size))
    )
    return one.campaign, one.task, ", ".join(one.budgets), one.agent, " of ".join(scores), latency, *shares


def _print(found: Recipe) -> None:
    """Prints a recipe for people."""
    from automc.costs.units import format_cost
    from automc.search_spaces import Choice
    from automc.tasks.metrics import format_epochs, format_score

    typer.echo(f"task {found.task}, budget {', '.join(found.budgets)}, found by {found.agent} on {found.created_at}")
    if found.tuned_epochs:
        typer.echo(f"fine-tuned for {format_epochs(found.tuned_epochs)}")
    typer.echo(f"{found.device.processor}, {found.device.runtime}, {found.device.threads} thread(s)")
    if found.forced_table:
        typer.echo(f"predicted latency is that of another device, whose table was forced: {found.forced_table}")
    rows = []
    for name, one, metric in (
        ("measured latency", lambda f: f.measured_us and f.measured_us[1], "latency"),
        ("predicted latency", lambda f: f.predicted_us, "latency"),
        ("MACs", lambda f: f.macs, "macs"),
        ("parameters", lambda f: f.params, "params"),
        ("size", lambda f: f.size, "size"),
        ("memory of activations", lambda f: f.memory, "memory"),
    ):
        values = [one(figures) for figures in (found.original, found.figures)]
        rows.append((name, *("" if value is None else format_cost(metric, value) for value in values)))
    for name, field in (("search score", "search_score"), ("test score", "test_score")):
        values = [getattr(figures, field) for figures in (found.original, found.figures)]
        rows.append((name, *("" if value is None else format_score(value, found.metric) for value in values)))
    print_table(f"figures ({found.metric})", ["", "original", "recipe"], rows)
    choices = []
    for unit, fields in found.policy.items():
        choice = Choice(**fields)
        bits = f"{choice.precision} ({choice.weight_bits}/{choice.activation_bits})" if choice.precision else ""
        said = [f"{name} {fields[name]}" for name in ("channels", "keep") if name in fields]
        choices.append((unit, ", ".join(said), bits))
    print_table("policy", ["unit", "choice", "precision (bits of weights/activations)"], choices)
