"""Sensitivities as files: what they are of, and the harm of each option of each axis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from torch import Tensor
from torch.utils import _pytree as pytree

from automc import files
from automc.compression import Methods
from automc.devices import Device
from automc.errors import ConfigError
from automc.evaluation.forward import Precision
from automc.search_spaces import Axis, SearchSpace
from automc.sensitivities.effort import Effort
from automc.sensitivities.sensitivities import Sensitivities
from automc.tasks import Split, Task

VERSION = 1

Option = bool | int | tuple[int, int]
"""An option as `Axis.options` has it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class About(_Strict):
    """All that sensitivities depend on.

    Attributes:
        model: digest of the network's weights.
        device: name of what the network is to run on.
        precisions: what that runs; options of bits, and what a layer is left at, depend on it.
        methods: how options were applied.
        effort: how much was looked at.
        precision: of forward passes.
        examples: digest of what was looked at.
        seed: of recovery.
        how: what was measured, in words.
        versions: of what the numbers depend on.
    """

    model: str
    device: str
    precisions: tuple[tuple[int, int], ...]
    methods: Methods
    effort: Effort
    precision: Precision
    examples: str
    seed: int
    how: str
    versions: dict[str, str]

    @property
    def key(self) -> str:
        """A short name that differs where any of it does."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return f"{self.model[:8]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def mismatch(self, model: str, device: Device, methods: Methods) -> str | None:
        """Returns what else than this they are of, in words; None where they are of this."""
        if self.model != model:
            return f"another model (digest {self.model[:12]}, here {model[:12]})"
        if self.device != device.name:
            return f"another device ({self.device}, here {device.name})"
        if set(self.precisions) != set(device.precisions):
            pairs = " ".join(f"{weights}/{activations}" for weights, activations in self.precisions[:8])
            return f"another device (a {self.device} that runs other bits: {pairs})"
        there, here = self.methods.model_dump(), methods.model_dump()
        differ = [f"{key} is {there[key]!r}, here {here[key]!r}" for key in here if there[key] != here[key]]
        return f"other methods ({'; '.join(differ)})" if differ else None


class AxisHarms(_Strict):
    """The harm of each option of one axis.

    Attributes:
        unit: the unit.
        field: which field of its choice: ``channels``, ``keep`` or ``bits``.
        options: as the axis has them; the last leaves the network as it is.
        harms: one for each; see `Sensitivities.harms`.
        measured: which of them were measured.
        seconds: that it took.
    """

    unit: str
    field: Literal["channels", "keep", "bits"]
    options: tuple[Option, ...] = Field(min_length=1)
    harms: tuple[Annotated[FiniteFloat, Field(ge=0)], ...]
    measured: tuple[bool, ...]
    seconds: FiniteFloat = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _are_of_the_options(self) -> AxisHarms:
        if not len(self.options) == len(self.harms) == len(self.measured) or self.harms[-1]:
            raise ValueError(
                f"{self.unit}.{self.field}: harms and measured are of each option, and the last's harm is 0"
            )
        return self

    @classmethod
    def of(cls, axis: Axis, harms: np.ndarray, measured: np.ndarray, seconds: float) -> AxisHarms:
        """Returns an axis with its (O,) harms, and (O,) whether they were measured."""
        return cls(
            unit=axis.unit,
            field=axis.field,  # type: ignore[arg-type]  # checked when it is made
            options=axis.options,
            harms=tuple(harms.tolist()),
            measured=tuple(measured.tolist()),
            seconds=round(seconds, 3),
        )

    def is_of(self, axis: Axis) -> bool:
        """Says whether it is of an axis with the very same options."""
        return (self.unit, self.field, self.options) == (axis.unit, axis.field, axis.options)


class SensitivityFile(_Strict):
    """Sensitivities with their provenance.

    Attributes:
        version: of the format.
        about: what they depend on.
        created_at: when the last of them was measured: ISO 8601, UTC.
        spent: in a search's own copy, the seconds that this search measured for; elsewhere None.
        axes: the axes.
    """

    version: int = VERSION
    about: About
    created_at: str
    spent: FiniteFloat | None = Field(default=None, ge=0)
    axes: tuple[AxisHarms, ...]

    @property
    def seconds(self) -> float:
        """How long measuring took, whenever that was."""
        return round(sum(axis.seconds for axis in self.axes), 3)

    def for_space(self, space: SearchSpace, path: Path) -> Sensitivities:
        """Returns the sensitivities of a space all of whose options are there.

        Args:
            space: the space.
            path: what the file is called in errors.

        Raises:
            ConfigError: an axis or an option is not there; it is named.
        """
        harms, measured = [], []
        for axis in space.axes:
            found = self.axis(axis, path)
            places = [found.options.index(option) for option in axis.options]
            harms.append(np.array([found.harms[place] for place in places]))
            measured.append(np.array([found.measured[place] for place in places], dtype=bool))
        return Sensitivities(space, tuple(harms), tuple(measured))

    def axis(self, axis: Axis, path: Path) -> AxisHarms:
        """Returns what has an axis's options, and no others where there is such; raises ConfigError where none has."""
        there = [one for one in self.axes if (one.unit, one.field) == (axis.unit, axis.field)]
        lacks: list[object] = []
        for one in sorted(there, key=lambda one: not one.is_of(axis)):
            lacks = [option for option in axis.options if option not in one.options]
            if not lacks and one.options[-1] == axis.options[-1]:
                return one
        what = f"option {lacks[0]} of {axis.name}" if lacks else axis.name
        raise ConfigError(f"sensitivities in {path} lack {what}, which the space has; {_MEASURE}")

    def check(self, path: Path, model: str, device: Device, methods: Methods) -> None:
        """Raises ConfigError where they are of another model or device, or by other methods."""
        if (what := self.about.mismatch(model, device, methods)) is not None:
            raise ConfigError(f"sensitivities in {path} are of {what}; {_MEASURE}")


_MEASURE = "measure them anew: automc sensitivity SUBJECT --save FILE"


def load_sensitivities(path: Path) -> SensitivityFile:
    """Reads sensitivities, YAML or JSON; raises ConfigError when the file is missing, damaged or of a newer version."""
    return files.read_yaml(path, SensitivityFile, ConfigError, version=VERSION)


def save_sensitivities(found: SensitivityFile, path: Path) -> None:
    """Writes sensitivities, whole or not at all; every number is read again as it was, to the bit."""
    files.write_text(path, files.dump_yaml(found.model_dump(mode="json", exclude_none=True)))


def examples_digest(task: Task, effort: Effort) -> str:
    """Returns a digest of the inputs that are looked at."""
    digest = hashlib.sha256()
    looked_at: Mapping[Split, int] = {"train": effort.calibration_images, "search": effort.search_images}
    for split, n in looked_at.items():
        for inputs, _ in task.batches(split, n):
            for leaf in pytree.tree_leaves(inputs):
                assert isinstance(leaf, Tensor)  # inputs are tensors, or a dict of them
                digest.update(f"{leaf.dtype} {tuple(leaf.shape)}\n".encode())
                digest.update(leaf.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
