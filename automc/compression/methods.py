"""The part of a configuration that says how a policy is applied."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Methods(BaseModel):
    """How a policy is applied; the defaults are what measured best.

    Attributes:
        clipping: how the range of a tensor's levels is chosen; ``auto`` takes min-max at 8 bits and mse below.
        weight_clipping: the same for each channel's weights.
        rounding: how weights go to levels; ``auto`` takes the nearest at 8 bits and second-order below.
        equalization: whether the channels between two layers are scaled alike before quantization.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clipping: Literal["auto", "minmax", "percentile", "mse", "kl"] = "auto"
    weight_clipping: Literal["auto", "minmax", "mse"] = "auto"
    rounding: Literal["auto", "nearest", "second-order"] = "auto"
    equalization: bool = False
