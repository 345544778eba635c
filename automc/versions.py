"""The versions that a score depends on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version

import automc

_LIBRARIES = ("torch", "torch-pruning", "onnx", "onnxruntime", "optuna")


@cache
def versions() -> dict[str, str]:
    """Returns the versions of AutoMC, Python and the libraries that a result depends on."""
    return {"automc": automc.__version__, "python": platform.python_version()} | {n: version(n) for n in _LIBRARIES}
