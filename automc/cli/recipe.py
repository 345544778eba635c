"""``automc recipe``: what to do with the result of a search."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automc.cli.output import JsonFlag, print_json, print_table
from automc.cli.recipe_show import list_recipes, show

if TYPE_CHECKING:
    from torch import nn

    from automc.recipes import Recipe
    from automc.tasks import Task

CLAIM_FALSE = 3

app = typer.Typer(help="List, show, apply, export and verify the results of searches.", no_args_is_help=True)

RecipePath = Annotated[Path, typer.Argument(help="The recipe's file.", metavar="RECIPE.yaml")]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="The task, where it is a file of code: a recipe never runs one by itself.")
]


class Format(StrEnum):
    """What a recipe can be exported to."""

    onnx = "onnx"
    torch = "torch"


app.command("list")(list_recipes)
app.command("show")(show)


@app.command()
def apply(
    recipe: RecipePath,
    task: TaskOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the weights here, as safetensors.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Rebuild the compressed model from the original and score it on search images."""
    from automc.recipes import save_weights
    from automc.tasks.loops import score

    found, loaded, model = _rebuild(recipe, task)
    params = sum(parameter.numel() for parameter in model.parameters())
    value = score(model, loaded, "search")
    if out is not None:
        save_weights(model, out)
    if as_json:
        print_json({"params": params, "search_score": value, "recorded_search_score": found.figures.search_score})
    else:
        recorded = found.figures.search_score
        typer.echo(f"rebuilt: {params} parameters, {found.metric} {value:.4f} on all search images")
        typer.echo(f"recorded: {found.figures.params:.0f} parameters, {found.metric} {recorded:.4f}")


@app.command()
def export(
    recipe: RecipePath,
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.onnx,
    out: Annotated[Path | None, typer.Option(help="File to write.  [default: beside the recipe]")] = None,
    task: TaskOption = None,
) -> None:
    """Export the compressed model to a file that runs without AutoMC."""
    from automc.recipes.export import FORMATS, export_onnx, export_program
    from automc.tasks import example

    found, loaded, model = _rebuild(recipe, task)
    path = out or recipe.parent / f"model{FORMATS[format.value]}"
    write = export_onnx if format is Format.onnx else export_program
    write(model, example(loaded, found.device.batch), path)
    typer.echo(f"{path}: {path.stat().st_size} bytes")


@app.command()
def verify(
    recipe: RecipePath,
    file: Annotated[
        Path | None, typer.Argument(help="The exported file.  [default: model.onnx beside the recipe]")
    ] = None,
    task: TaskOption = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow a .pt2 file: loading one can run code that is in it.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run an exported file without AutoMC and check what the recipe says of it; exit code 3 if a claim is false."""
    from automc.errors import RecipeError
    from automc.recipes import verify as check
    from automc.recipes.export import FORMATS
    from automc.tasks.metrics import format_score

    path = file or recipe.parent / "model.onnx"
    if path.suffix == FORMATS["torch"] and not trust:
        raise RecipeError(f"{path}: loading a .pt2 can run code that is in it; if you exported it yourself: --trust")
    found, loaded, model = _rebuild(recipe, task)
    result = check(found, path, loaded, model)
    if as_json:
        print_json(result.model_dump() | {"passed": result.passed})
    else:
        low, middle, high = (100 * value for value in result.ratio)
        score, recorded = (
            "none" if v is None else format_score(v, found.metric) for v in (result.score, result.recorded_score)
        )
        budget = {None: "no latency budget applies here", True: "yes", False: "NO"}[result.keeps_latency_budget]
        print_table(
            f"{path}: {'verified' if result.passed else 'NOT as the recipe says'}",
            ["claim", "found", "holds"],
            [
                ("outputs equal the model's", f"differ by {result.difference:.1e}", _yes(result.outputs_agree)),
                (f"test {found.metric} {recorded}", score, _yes(result.score_holds)),
                ("device", result.same_device, ""),
                *(
                    [("layers asked to run in int8", f"{result.int8_run} of {result.int8_asked} do", "")]
                    if result.int8_asked
                    else []
                ),
                *([("energy", f"{result.energy_uj / 1e3:.4g} mJ", "")] if result.energy_uj is not None else []),
                (
                    f"budget {', '.join(found.budgets)}",
                    f"{result.us:.4g} us, {middle:.1f}% of the original's ({low:.1f} to {high:.1f}%)",
                    budget,
                ),
            ],
        )
    if not result.passed:
        raise typer.Exit(CLAIM_FALSE)


def _rebuild(path: Path, override: str | None) -> tuple[Recipe, Task, nn.Module]:
    from automc.recipes import apply_recipe, load_recipe, task_of

    recipe = load_recipe(path)
    task = task_of(recipe, override)
    return recipe, task, apply_recipe(recipe, path, task)


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
