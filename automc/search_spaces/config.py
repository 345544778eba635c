"""The part of a configuration that says what may be searched, and the presets that ship."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import cast

from pydantic import ConfigDict, Field

from automc.docstrings import Described
from automc.errors import ConfigError, nearest
from automc.files import read_yaml


class SpaceConfig(Described):
    """What may be chosen.

    Attributes:
        width: whether channel groups may be pruned.
        depth: whether residual blocks may be dropped.
        bits: bits of weights and activations that each layer may take instead of float; what the device does not
            run is refused.
        simulate: offer every pair of ``bits``, 2 to 8 or 32 each, whether or not the device runs it. Scores are those
            of a simulation then, and there is no latency. A device on paper that runs such bits needs no asking.
        channel_multiple: widths are multiples of it (the full width is always allowed); None takes the device's.
        min_keep: smallest share of a group's channels that is kept.
        exclude: unit names that stay as they are; a name ending in ``*`` excludes all that begin so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: bool = True
    depth: bool = True
    bits: tuple[int, ...] = ()
    simulate: bool = False
    channel_multiple: int | None = Field(default=None, ge=1)
    min_keep: float = Field(default=0.1, gt=0, le=1)
    exclude: tuple[str, ...] = ()


def presets() -> dict[str, Path]:
    """Returns the presets that ship, by name."""
    folder = cast(Path, resources.files("automc.search_spaces") / "presets")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_preset(name: str) -> SpaceConfig:
    """Returns a preset by its name; raises ConfigError when there is none."""
    known = presets()
    if name not in known:
        raise ConfigError(f"unknown search space '{name}'{nearest(name, known)}")
    return read_yaml(known[name], SpaceConfig, ConfigError)
