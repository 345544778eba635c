"""Starting `_runner.py` in a fresh process that cannot import AutoMC, and reading its answer."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from automc import progress
from automc.errors import RuntimeFailure

Feeds = Mapping[str, np.ndarray]

_ERROR, _MODULE = "[ONNXRuntimeError]", "onnxruntime.capi.onnxruntime_pybind11_state."
_NO_MEMORY = re.compile(r"MemoryError|bad_alloc|[Uu]nable to allocate|[Ff]ailed to allocate|[Mm]emory")
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
        save_inputs(folder, inputs)
        try:
            with progress.bar(description, steps) as line:
                run_in(folder, {"action": action, **arguments}, line.advance)
        except RuntimeFailure as error:
            raise RuntimeFailure(f"{description}: {error}") from None
        answer = json.loads((folder / "answer.json").read_text())
        outputs: list[np.ndarray] = []
        if (folder / "outputs.npz").exists():
            with np.load(folder / "outputs.npz", allow_pickle=False) as arrays:
                outputs = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        return answer, outputs


def save_inputs(folder: Path, inputs: Sequence[Feeds]) -> list[Path]:
    """Writes arrays to hand over; returns their files, ``inputs{i}.npz``."""
    paths = [folder / f"inputs{number}.npz" for number in range(len(inputs))]
    for path, feeds in zip(paths, inputs, strict=True):
        # the checker takes the arrays for savez's one keyword of its own, allow_pickle
        np.savez(path, **feeds)  # type: ignore[arg-type]  # NumPy has a flag there too
    return paths


def run_in(
    folder: Path,
    request: dict[str, Any],
    step: Callable[[], None],
    memory: int | None = None,
    seconds: float | None = None,
    started: Callable[[subprocess.Popen[str]], None] = lambda process: None,
) -> None:
    """Runs one action of the runner in a folder, where its inputs lie and it leaves its answer.

    Args:
        folder: the folder.
        request: the action's name and arguments.
        step: called at each step that it reports.
        memory: bytes of memory that it may have.
        seconds: how long it may take.
        started: given the process, which may be killed from another thread.

    Raises:
        RuntimeFailure: the runner failed or went over a limit; what it ended with is named.
    """
    path, late = folder / "request.json", threading.Event()
    path.write_text(json.dumps(request | ({} if memory is None else {"memory": memory})))
    with (
        (folder / "errors.txt").open("w+") as errors,
        subprocess.Popen(
            # -I: neither the current folder nor the user's packages, so that what runs stands alone
            [sys.executable, "-I", str(_RUNNER), str(path)],
            stdin=subprocess.PIPE,  # it ends when this closes
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds or 0, end)
        try:
            started(process)
            if seconds is not None:
                timer.start()
            assert process.stdout is not None
            for _ in process.stdout:
                step()
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        if late.is_set():
            raise RuntimeFailure(f"it took longer than the {seconds:g} s that it may")
        if code != 0:
            errors.seek(0)
            said = _cause(errors.read()).replace(f"{folder}{os.sep}", "") or _ended(code)
            limit = f" (it may have {memory >> 20} MB of memory)" if memory is not None else ""
            raise RuntimeFailure(f"the runtime failed: {said}{limit if _NO_MEMORY.search(said) else ''}")


def _ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"its process was ended by {signal.Signals(-code).name}, perhaps for want of memory"
    except ValueError:
        return f"its process was ended by signal {-code}"


def _cause(errors: str) -> str:
    """Returns the end of what a process printed: an error of ONNX Runtime whole, else the last line."""
    lines = errors.strip().splitlines() or [""]
    first = max((number for number, line in enumerate(lines) if _ERROR in line), default=len(lines) - 1)
    return " ".join(" ".join(lines[first:]).split()).removeprefix(_MODULE)[:300]
