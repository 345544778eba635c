"""How much an evaluation looks at and does, and names for usual answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from automc.docstrings import Described
from automc.errors import nearest

NAMED: dict[str, dict[str, Any]] = {
    "few": {"search_images": 500, "calibration_images": 64, "recovery": False},
    "normal": {},
    "tuned": {"epochs": 0.5},
}
"""What a configuration may write instead of keys, the cheapest first."""

TOLD = {
    "few": "few images, nothing is refitted: quick",
    "normal": "all search images, and what is left of the network is refitted",
    "tuned": "as normal, then half an epoch of fine-tuning",
}
"""What each of these is, for those who choose."""


class Fidelity(Described):
    """How much an evaluation looks at and does. Where it is configured, a name of `NAMED` may stand for it.

    Attributes:
        search_images: examples of the ``search`` split that are scored; None takes all.
        calibration_images: examples of the ``train`` split for selection, recovery and quantization.
        precision: of forward passes; ``auto`` takes bfloat16 where the processor has it and the original's outputs
            stay nearly the same, else float32.
        recovery: whether what is left of the network is refitted, as `Methods.recovery` says; channels are selected
            either way.
        epochs: of fine-tuning after that, with the original as teacher; a fraction ends within an epoch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_images: int | None = Field(default=None, ge=1)
    calibration_images: int = Field(default=512, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    recovery: bool = True
    epochs: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in NAMED:
                raise ValueError(f"unknown fidelity '{value}'{nearest(value, NAMED)}")
            return NAMED[value]
        return value

    def __str__(self) -> str:
        """Returns its name, or what of it is not as usual."""
        for name, keys in NAMED.items():
            if self == Fidelity(**keys):
                return name
        keys = self.model_dump(exclude_defaults=True)
        return ", ".join(f"{key} {value:g}" if key == "epochs" else f"{key} {value}" for key, value in keys.items())
