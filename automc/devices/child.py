"""Starting `_runner.py` in a fresh process that cannot import AutoMC, and reading its answer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from automc import progress
from automc.errors import RuntimeFailure

Feeds = Mapping[str, np.ndarray]

_ERROR, _MODULE = "[ONNXRuntimeError]", "onnxruntime.capi.onnxruntime_pybind11_state."
_RUNNER = Path(__file__).with_name("_runner.py")


def run_child(
    action: str, description: str, steps: int, inputs: Sequence[Feeds] = (), **arguments: Any
) -> tuple[Any, list[np.ndarray]]:
    """Runs one action of the runner.

    Args:
        action: its name.
        description: what the progress bar says.
        steps: how many steps it will report.
        inputs: arrays to hand over, as ``inputs{i}.npz``.
        **arguments: the action's arguments.

    Returns:
        Its JSON answer, and the arrays of its ``outputs.npz`` if it wrote one.

    Raises:
        RuntimeFailure: the runner failed; what it ended with is named.
    """
    with tempfile.TemporaryDirectory(prefix="automc-") as name:
        folder = Path(name)
        for number, feeds in enumerate(inputs):
            # the checker takes the arrays for savez's one keyword of its own, allow_pickle
            np.savez(folder / f"inputs{number}.npz", **feeds)  # type: ignore[arg-type]
        request = folder / "request.json"
        request.write_text(json.dumps({"action": action, **arguments}))
        with (
            (folder / "errors.txt").open("w+") as errors,
            subprocess.Popen(
                # -I: neither the current folder nor the user's packages, so that what runs stands alone
                [sys.executable, "-I", str(_RUNNER), str(request)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            try:
                with progress.bar(description, steps) as line:
                    assert process.stdout is not None
                    for _ in process.stdout:
                        line.advance()
            except BaseException:
                process.kill()
                raise
            if process.wait() != 0:
                errors.seek(0)
                said = _cause(errors.read()) or f"exit code {process.returncode}"
                raise RuntimeFailure(f"{description}: the runtime failed: {said}")
        answer = json.loads((folder / "answer.json").read_text())
        outputs: list[np.ndarray] = []
        if (folder / "outputs.npz").exists():
            with np.load(folder / "outputs.npz", allow_pickle=False) as arrays:
                outputs = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        return answer, outputs


def _cause(errors: str) -> str:
    """Returns the end of what a process printed: an error of ONNX Runtime whole, else the last line."""
    lines = errors.strip().splitlines() or [""]
    first = max((number for number, line in enumerate(lines) if _ERROR in line), default=len(lines) - 1)
    return " ".join(" ".join(lines[first:]).split()).removeprefix(_MODULE)[:300]
