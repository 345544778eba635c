"""The part of a configuration that says how a policy is applied."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, field_validator

from automc.compression.selection import check_selector
from automc.docstrings import Described
from automc.errors import ConfigError


class Methods(Described):
    """How a policy is applied; the defaults are what measured best.

    Attributes:
        selection: which channels stay: the name of a selector, see `automc.compression.selection`.
        recovery: what is done without training after that, in this order.
        bias_correction: least squares also refits each layer's intercept: its bias, or the mean of its BatchNorm.
        sum_correction: least squares makes up at each residual addition for the error of what is added.
        clipping: how the range of a tensor's levels is chosen; ``auto`` takes min-max at 8 bits and mse below.
        weight_clipping: the same for each channel's weights.
        rounding: how weights go to levels; ``auto`` takes the nearest at 8 bits and second-order below.
        equalization: whether the channels between two layers are scaled alike before quantization.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    selection: str = "second_order"
    recovery: tuple[Literal["least_squares", "batchnorm"], ...] = ("least_squares",)
    bias_correction: bool = True
    sum_correction: bool = True

    clipping: Literal["auto", "minmax", "percentile", "mse", "kl"] = "auto"
    weight_clipping: Literal["auto", "minmax", "mse"] = "auto"
    rounding: Literal["auto", "nearest", "second-order"] = "auto"
    equalization: bool = False

    @field_validator("selection")
    @classmethod
    def _selection(cls, value: str) -> str:
        try:
            return check_selector(value)
        except ConfigError as error:  # pydantic reports ValueErrors with the key that they belong to
            raise ValueError(str(error)) from None
