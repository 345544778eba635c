"""Seconds until ``automc --help`` and ``import automc.client`` have ended, whole processes, beside an empty one."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15

if __name__ == "__main__":
    commands = {
        "automc --help": [str(Path(sys.executable).with_name("automc")), "--help"],
        "import automc.client": [sys.executable, "-c", "import automc.client"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(RUNS + 1):
        for name, command in commands.items():  # in turn, so that both see the same machine
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            if run:  # the first fills the file cache
                times[name].append(time.perf_counter() - start)
    answer = {
        name: {"median s": round(statistics.median(t), 3), "slowest s": round(max(t), 3)} for name, t in times.items()
    }
    print(json.dumps(answer, indent=1))
