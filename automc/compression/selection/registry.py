"""The selectors that ship, by name."""

from __future__ import annotations

import importlib

from automc.compression.selection._base import Selector
from automc.errors import ConfigError, nearest

SELECTORS = {
    "magnitude": ("automc.compression.selection.magnitude:Magnitude", "sum of |W| of the layers that read a channel"),
    "l2": ("automc.compression.selection.l2:L2", "Euclidean norm of the weights that read a channel"),
    "batchnorm": ("automc.compression.selection.batchnorm:BatchNorm", "|scale| of the channel's BatchNorm"),
    "taylor": ("automc.compression.selection.taylor:Taylor", "first-order change of the loss without the channel"),
    "second_order": (
        "automc.compression.selection.second_order:SecondOrder",
        "what its readers' outputs lose, after the other channels have made up for it",
    ),
}


def make_selector(name: str) -> Selector:
    """Returns a selector by its name; raises ConfigError when there is none."""
    module, attribute = SELECTORS[check_selector(name)][0].split(":")
    cls: type[Selector] = getattr(importlib.import_module(module), attribute)
    return cls()


def check_selector(name: str) -> str:
    """Returns the name of a selector; raises ConfigError when there is none."""
    if name not in SELECTORS:
        raise ConfigError(f"unknown selector '{name}'{nearest(name, SELECTORS)}")
    return name
