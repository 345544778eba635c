"""What is timed stays on as many cores as it has threads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automc.devices.child import run_in, save_inputs
from automc.testing.benches import write_model

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def cores_of(folder: Path, **request: Any) -> set[int]:
    """The number of cores that the child may use, seen at each of its steps."""
    seen: set[int] = set()
    processes: list[subprocess.Popen[str]] = []
    model = write_model(folder / "model.onnx", 32)
    save_inputs(folder, [{"x": np.ones((1, 32), np.float32)}])

    def look() -> None:
        seen.add(len(os.sched_getaffinity(processes[0].pid)))

    run_in(folder, {"models": [str(model)], **request}, look, started=processes.append)
    return seen


@pytest.mark.skipif(CORES < 2, reason="needs Linux and two cores")
def test_what_is_timed_stays_on_its_cores(tmp_path: Path) -> None:
    timed = {"threads": 1, "runs": 50, "passes": 3}
    assert cores_of(tmp_path, action="clock", **timed) == {1}
    assert cores_of(tmp_path, action="profile", warmup=1, graphs=[], **timed) == {1}
    assert cores_of(tmp_path, action="clock", **(timed | {"threads": CORES})) == {CORES}


@pytest.mark.skipif(CORES < 2, reason="needs Linux and two cores")
def test_what_only_computes_may_use_all(tmp_path: Path) -> None:
    assert cores_of(tmp_path, action="predict", threads=1, batches=1) == {CORES}
