"""Making the compressed model from a recipe and the original."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from automc import files
from automc.compression import Quantized, rebuild
from automc.errors import RecipeError
from automc.graph.blocks import blocks_named
from automc.graph.units import find_groups
from automc.recipes.recipe import Recipe, Weights, weights_digest
from automc.search_spaces import Policy
from automc.tasks import Task, example, load_task


def task_of(recipe: Recipe, override: str | None = None) -> Task:
    """Returns the recipe's task.

    Args:
        recipe: the recipe.
        override: a task to take instead; a ``path.py:Class`` is loaded only when it is named here.

    Raises:
        RecipeError: the recipe names a file of code and no override was given.
    """
    if override is not None:
        return load_task(override, recipe.task_args)
    if ".py:" in recipe.task:
        raise RecipeError(
            f"the recipe's task is '{recipe.task}', and a recipe never runs a file that it names; "
            f"if you trust that file, say so: --task '{recipe.task}'"
        )
    return load_task(recipe.task, recipe.task_args)


def apply_recipe(recipe: Recipe, path: Path, task: Task) -> nn.Module:
    """Returns the compressed model, with the recipe's weights.

    Args:
        recipe: the recipe.
        path: where it was read from; its weights lie beside it.
        task: gives the original model.

    Raises:
        RecipeError: the recipe is for another model, or its weights are missing, changed or do not fit.
    """
    original = task.model()
    check_original(recipe, path, weights_digest(original))
    inputs = example(task)
    groups = {group.name: group for group in find_groups(original, inputs)}
    for name, channels in recipe.kept.items():
        if name not in groups or not channels or max(channels) >= groups[name].channels or min(channels) < 0:
            raise RecipeError(f"{path}: kept: '{name}' does not fit this model")
    _check_policy(recipe, path, {name: group.channels for name, group in groups.items()}, original)
    model = rebuild(original, groups.values(), recipe.kept, blocks_named(original, inputs, recipe.dropped))
    if recipe.bits:
        try:
            model = Quantized(model, inputs, recipe.bits)
        except ValueError as error:
            raise RecipeError(f"{path}: policy: {error}") from None
    _load_weights(model, path.parent / recipe.weights.file, recipe.weights)
    return model


def check_original(recipe: Recipe, path: Path, digest: str) -> None:
    """Refuses a recipe for a model whose weights have another digest; raises RecipeError."""
    if digest != recipe.model_digest:
        raise RecipeError(
            f"{path}: made for another model: the original's weights have digest {recipe.model_digest[:12]}, "
            f"this task's model has {digest[:12]}"
        )


def _check_policy(recipe: Recipe, path: Path, channels: Mapping[str, int], original: nn.Module) -> None:
    """Refuses a policy that speaks of what the model does not have, or contradicts what is kept."""
    modules, policy = dict(original.named_modules()), Policy.from_dict(recipe.policy)
    for unit, choice in policy.items():
        if unit not in modules and unit not in channels:
            what = "unit" if choice.keep is None else "block"
            raise RecipeError(f"{path}: policy: the model has no {what} '{unit}'")
        if choice.channels is not None and unit not in channels:
            raise RecipeError(f"{path}: policy: '{unit}' has no channels that can be pruned")
    pruned = {unit: choice.channels for unit, choice in policy.items() if choice.channels is not None}
    for unit in sorted({*pruned, *recipe.kept}):
        stay = len(set(recipe.kept.get(unit, range(channels[unit]))))
        if pruned.get(unit) != stay:
            asked = pruned.get(unit, "all")
            raise RecipeError(f"{path}: policy: '{unit}' is to keep {asked} channels, but by 'kept' it keeps {stay}")


def save_weights(model: nn.Module, path: Path) -> Weights:
    """Writes a model's weights as safetensors, whole or not at all, and returns what a recipe says of them."""
    with files.replacing(path) as temporary:
        safetensors.torch.save_model(model, os.fspath(temporary))
    return Weights(file=path.name, sha256=files.digest(path))


def _load_weights(model: nn.Module, path: Path, expected: Weights) -> None:
    if not path.is_file():
        raise RecipeError(f"{path}: the recipe's weights are missing; they belong beside it")
    if files.digest(path) != expected.sha256:
        raise RecipeError(f"{path}: not the weights that the recipe was written with (their SHA-256 differs)")
    try:
        safetensors.torch.load_model(model, path)
    except (RuntimeError, SafetensorError) as error:
        raise RecipeError(f"{path}: the weights do not fit the model: {str(error).splitlines()[0]}") from None
