"""What a finished campaign has left in its folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from automc.campaigns.result import SearchResult
from automc.errors import NotFound, RecipeError
from automc.recipes import Recipe, load_recipe
from automc.workspace.answers import RecipeSummary


def read_result(name: str, out: Path) -> SearchResult:
    """Reads the result of a campaign from its folder; raises NotFound where it is not there any more, or damaged."""
    try:
        return SearchResult.model_validate_json((out / "result.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise NotFound(f"the result of {name} is not where it was written: {type(error).__name__}") from None


def read_recipe(name: str, out: Path) -> Recipe:
    """Reads the recipe of a campaign from its folder; raises NotFound where it is not there any more, or damaged."""
    try:
        return load_recipe(out / "recipe.yaml")
    except RecipeError as error:
        why = str(error).replace(str(out / "recipe.yaml"), "recipe.yaml")
        raise NotFound(f"the recipe of {name} cannot be read any more: {why}") from None


def summary(name: str, task: str, recipe: Recipe) -> RecipeSummary:
    """Returns what a list shows of a campaign's recipe, its task as it is shown."""
    found, original = recipe.figures, recipe.original
    created = datetime.fromisoformat(recipe.created_at)
    return RecipeSummary(
        campaign=name,
        task=task,
        agent=recipe.agent,
        budgets=recipe.budgets,
        device=f"{recipe.device.name}: {recipe.device.processor}",
        metric=recipe.metric,
        test_score=found.test_score,
        original_test_score=original.test_score,
        ratio=found.ratio,
        measured_us=found.measured_us,
        macs=found.macs,
        original_macs=original.macs,
        size=found.size,
        original_size=original.size,
        created=created if created.tzinfo else created.replace(tzinfo=UTC),
    )
