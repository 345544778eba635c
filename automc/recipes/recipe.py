"""The recipe file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import nn

from automc import files
from automc.compression.bits import check_bits
from automc.costs import Budget
from automc.devices import Device
from automc.errors import ConfigError, RecipeError
from automc.search_spaces import Policy
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS

VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Weights(_Strict):
    """Weights that lie beside the recipe, as safetensors.

    Attributes:
        file: file name, without a folder.
        sha256: digest of the file.
    """

    file: str
    sha256: str

    @field_validator("file")
    @classmethod
    def _no_folder(cls, value: str) -> str:
        if Path(value).name != value:
            raise ValueError(f"'{value}' must be a file name beside the recipe, without a folder")
        return value


class Figures(_Strict):
    """What one network costs and scores.

    Attributes:
        macs: for one example.
        params: parameters.
        size: bytes of parameters and buffers.
        memory: bytes of activations at the peak of one inference.
        predicted_us: predicted latency, microseconds.
        measured_us: [first quartile, median, third quartile], microseconds.
        ratio: measured latency divided by the original's: [first quartile, median, third quartile].
        search_score: on search images, with the weights beside the recipe.
        test_score: on the test set, by the exported file.
    """

    macs: float
    params: float
    size: float
    memory: float | None = None
    predicted_us: float | None = None
    measured_us: tuple[float, float, float] | None = None
    ratio: tuple[float, float, float] | None = None
    search_score: float | None = None
    test_score: float | None = None


class Recipe(_Strict):
    """The decisions for one model on one device, with where they come from.

    Attributes:
        version: of this file format.
        task: name of the task, or ``path.py:Class``, which is imported only where a user says so again.
        task_args: keyword arguments of the task's class.
        metric: name of the score.
        model_digest: SHA-256 over names, shapes and values of the original's weights.
        policy: unit name to choice.
        kept: for each pruned group, the channels of the original that stay.
        weights: the compressed network's weights.
        device: what was measured on.
        budgets: what was asked for.
        figures: of the network that the recipe makes.
        original: of the original.
        agent: who found it.
        seed: of the search.
        evaluations: how many policies the search scored, controls included.
        tuned_epochs: how many epochs of fine-tuning the weights had after the search.
        forced_table: where predicted latency is by another device's table, what differs; None where it is not.
        created_at: ISO 8601, UTC.
        versions: of AutoMC and of the libraries that matter.
    """

    version: int = VERSION
    task: str
    task_args: dict[str, Any] = Field(default_factory=dict)
    metric: str
    model_digest: str
    policy: dict[str, dict[str, Any]]
    kept: dict[str, tuple[int, ...]]
    weights: Weights
    device: Device
    budgets: list[str]
    figures: Figures
    original: Figures
    agent: str
    seed: int
    evaluations: int
    tuned_epochs: float = 0.0
    forced_table: str | None = None
    created_at: str
    versions: dict[str, str]

    @field_validator("budgets")
    @classmethod
    def _are_budgets(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                Budget.parse(text)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("policy")
    @classmethod
    def _is_policy(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        try:
            for unit, choice in Policy.from_dict(value).items():
                check_bits(unit, (choice.weight_bits or FLOAT_BITS, choice.activation_bits or FLOAT_BITS))
        except (TypeError, ValueError, ConfigError) as error:
            raise ValueError(f"no policy: {error}") from None
        return value

    @property
    def dropped(self) -> list[str]:
        """Names of the blocks that the policy drops."""
        return [unit for unit, choice in self.policy.items() if choice.get("keep") is False]

    @property
    def bits(self) -> dict[str, tuple[int, int]]:
        """(weight bits, activation bits) of the layers that are not to stay in float."""
        gone = tuple(f"{block}." for block in self.dropped)
        return {
            unit: (choice.weight_bits or FLOAT_BITS, choice.activation_bits or FLOAT_BITS)
            for unit, choice in Policy.from_dict(self.policy).items()
            if choice.precision not in (None, "float") and not unit.startswith(gone)
        }

    @property
    def int8(self) -> list[str]:
        """Names of the layers that run in int8."""
        return [unit for unit, bits in self.bits.items() if bits == INT8_BITS]


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; raises RecipeError when it is missing, damaged or of a newer version."""
    return files.read_yaml(path, Recipe, RecipeError, version=VERSION)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Writes a recipe, whole or not at all."""
    header = "# AutoMC recipe: what to keep of the model named below. Apply it with: automc recipe apply\n"
    files.write_text(path, header + files.dump_yaml(recipe.model_dump(mode="json", exclude_none=True)))


def weights_digest(model: nn.Module) -> str:
    """Returns the SHA-256 over names, types, shapes and values of a model's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.ndim else
                      repr(tensor.item()).encode())  # fmt: skip
    return digest.hexdigest()
