"""What a workbench and a device far away say to each other."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from automc.devices.device import Device

PROTOCOL = 1
"""Changes whenever one side would no longer understand the other."""
_RESERVED = {"action", "answer", "models", "threads", "memory"}  # what the device itself tells the runner


class JobRequest(BaseModel):
    """A measurement, without its files: ``model{i}.onnx`` for each model, then ``inputs{i}.npz``.

    Attributes:
        protocol: the workbench's.
        device: what the workbench takes the device for.
        action: of `_runner.py`.
        arguments: the action's own, plain data without anything that could be a path.
        models: how many.
        inputs: how many.
        size: bytes of all files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: int
    device: Device
    action: Literal["profile", "clock"]
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    models: int = Field(ge=1, le=10_000)
    inputs: int = Field(ge=0, le=10_000)
    size: int = Field(ge=0)

    @field_validator("arguments")
    @classmethod
    def _harmless(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in value:
            if not name.isidentifier() or name in _RESERVED:
                raise ValueError(f"no argument {name[:30]!r} can be given")
        if not is_plain(value, paths=False):
            raise ValueError("arguments are finite numbers, short words without slashes, lists and maps of these")
        return value

    @property
    def files(self) -> list[str]:
        """The names of its files."""
        return [f"model{i}.onnx" for i in range(self.models)] + [f"inputs{i}.npz" for i in range(self.inputs)]


def is_plain(data: Any, paths: bool = True, depth: int = 20) -> bool:
    """Says whether data is finite numbers, strings, lists and maps, not too deep; ``paths``: strings may be any."""
    if isinstance(data, str):
        return paths or (len(data) <= 300 and not set("/\\\0") & set(data))
    if isinstance(data, float):
        return math.isfinite(data)
    if data is None or isinstance(data, int):
        return True
    if depth == 0:
        return False
    if isinstance(data, list):
        return all(is_plain(each, paths, depth - 1) for each in data)
    return isinstance(data, dict) and all(
        isinstance(name, str) and is_plain(each, paths, depth - 1) for name, each in data.items()
    )


def read_json(text: bytes) -> Any:
    """Parses JSON; raises ValueError for what is none, too deep, or has numbers that are not finite."""
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError("too deep") from None
    if not is_plain(data):
        raise ValueError("too deep, or a number is not finite")
    return data
