"""The part of a configuration that says how a policy is applied."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Methods(BaseModel):
    """How a policy is applied; the defaults are what measured best."""

    model_config = ConfigDict(extra="forbid", frozen=True)
