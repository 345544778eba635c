"""The recipe: the decisions of a search, readable and re-appliable; what it makes can be exported and verified."""

from automc.recipes.apply import apply_recipe, check_original, save_weights, task_of
from automc.recipes.export import export_onnx, export_program
from automc.recipes.recipe import Figures, Recipe, Weights, load_recipe, save_recipe, weights_digest
from automc.recipes.verify import Verification, verify

__all__ = [
    "Figures", "Recipe", "Verification", "Weights", "apply_recipe", "check_original", "export_onnx",
    "export_program",
    "load_recipe", "save_recipe", "save_weights", "task_of", "verify", "weights_digest",
]  # fmt: skip
