"""Sensitivities: how much each unit hurts at each choice."""

from automc.sensitivities.effort import Effort
from automc.sensitivities.file import (
    About,
    AxisHarms,
    SensitivityFile,
    examples_digest,
    load_sensitivities,
    save_sensitivities,
)
from automc.sensitivities.measure import HOW, measure
from automc.sensitivities.sensitivities import Sensitivities
from automc.sensitivities.store import Stored, ensure_sensitivities, store_path

__all__ = [
    "HOW",
    "About",
    "AxisHarms",
    "Effort",
    "Sensitivities",
    "SensitivityFile",
    "Stored",
    "ensure_sensitivities",
    "examples_digest",
    "load_sensitivities",
    "measure",
    "save_sensitivities",
    "store_path",
]  # fmt: skip
