"""The part of a configuration that says how a policy is applied."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from automc.compression.selection import check_selector
from automc.errors import ConfigError


class Methods(BaseModel):
    """How a policy is applied; the defaults are what measured best.

    Attributes:
        selection: which channels stay: the name of a selector, see `automc.compression.selection`.
        recovery: what is done without training after that, in this order.
        bias_correction: least squares also refits each layer's intercept: its bias, or the mean of its BatchNorm.
        sum_correction: least squares makes up at each residual addition for the error of what is added.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    selection: str = "second_order"
    recovery: tuple[Literal["least_squares", "batchnorm"], ...] = ("least_squares",)
    bias_correction: bool = True
    sum_correction: bool = True

    @field_validator("selection")
    @classmethod
    def _selection(cls, value: str) -> str:
        try:
            return check_selector(value)
        except ConfigError as error:  # pydantic reports ValueErrors with the key that they belong to
            raise ValueError(str(error)) from None
