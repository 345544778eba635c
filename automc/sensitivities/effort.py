"""How much is looked at to measure sensitivities."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from automc.evaluation import Fidelity
from automc.evaluation.forward import Precision


class Effort(BaseModel):
    """How much is looked at: less than for a score, since what is asked for is which of two options hurts more.

    Attributes:
        search_images: examples of the ``search`` split on which outputs are compared.
        calibration_images: examples of the ``train`` split for recovery.
        options: options of each curve that are measured (`automc.sensitivities.curves`); the others lie on it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_images: int = Field(default=256, ge=1)
    calibration_images: int = Field(default=256, ge=1)
    options: int = Field(default=1, ge=1)

    def fidelity(self, precision: Precision) -> Fidelity:
        """Returns what an evaluator that measures looks at."""
        return Fidelity(
            search_images=self.search_images, calibration_images=self.calibration_images, precision=precision
        )
