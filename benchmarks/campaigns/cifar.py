"""A real campaign, killed half-way and resumed, beside one left alone: ResNet-20, CIFAR-10, two workers on Ray.

Its driver is killed with -9 when half of the evaluations are committed, and once more while finalists are fine-tuned
under Tune. Prints, for both: evaluations, the best policy and its scores, workers and seconds.

    AUTOMC_CIFAR10=... AUTOMC_WEIGHTS=... python benchmarks/campaigns/cifar.py OUT [EVALUATIONS]

OUT keeps both campaigns; what is there already is not run again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from _cifar import cifar_arguments

from automc.campaigns import SearchResult
from automc.campaigns.campaign import Campaign, Status
from automc.campaigns.storage import Storage, sqlite_url
from automc.errors import AutoMCError
from automc.files import write_text

EVALUATIONS = 40


def status(url: str, name: str) -> Status | None:
    try:
        storage = Storage(url)
        try:
            return Campaign(storage, name).status()
        finally:
            storage.close()
    except AutoMCError:
        return None


def kill_driver(url: str, name: str) -> None:
    there = status(url, name)
    assert there is not None and there.driver is not None
    os.kill(int(there.driver.rpartition(":")[2]), signal.SIGKILL)
    print(f"{name}: killed the driver at {there.evaluations} evaluations", flush=True)


def run(folder: Path, url: str, name: str, kill: bool) -> None:
    command = [sys.executable, "-m", "automc.cli", "campaign", "start", "cifar.yaml", "--name", name, "--out", name]
    with (folder / f"{name}.log").open("a") as log:
        process = subprocess.Popen(
            [*command, "--foreground"], cwd=folder, stdout=log, stderr=log, env=os.environ | {"AUTOMC_STORAGE": url}
        )
        half, tuning = kill, kill
        while process.poll() is None:
            time.sleep(1)
            there = status(url, name) if half else None
            if there is not None and there.total and there.evaluations >= there.total / 2:
                kill_driver(url, name)
                half = False
            elif not half and tuning and list((folder / name / "checkpoints").rglob("training.pt")):
                time.sleep(5)
                kill_driver(url, name)
                tuning = False
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}; see {folder / name}.log")


def main() -> None:
    if len(sys.argv) < 2:
        print("skipped: it takes a while; say where to write: python benchmarks/campaigns/cifar.py OUT")
        return
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    url = sqlite_url(folder / "campaigns.db")
    config = {
        "task": "cifar10",
        "task_args": cifar_arguments("resnet20"),
        "agent": "tpe",
        "budget": "macs<=50%",
        "evaluations": int(sys.argv[2]) if len(sys.argv) > 2 else EVALUATIONS,
        "finalists": 3,
        "fidelity": {"search_images": 1000, "calibration_images": 256},
        "finetune": {"epochs": 2, "finalists": 3},
        "compute": {"workers": 2},
    }
    write_text(folder / "cifar.yaml", json.dumps(config))
    answer = {}
    for name, kill in (("undisturbed", False), ("killed", True)):
        there = status(url, name)
        if there is None or there.state != "finished":
            run(folder, url, name, kill)
        there = status(url, name)
        assert there is not None
        result = SearchResult.model_validate_json((folder / name / "result.json").read_text())
        best = result.row("best")
        answer[name] = {
            "state": there.state,
            "evaluations": there.evaluations,
            "distinct": len({(one.agent, one.number) for one in result.evaluations}),
            "workers": len({one.worker for one in result.evaluations}),
            "best": str(best.policy),
            "search": best.search_score,
            "test": best.test_score,
            "tuned": best.tuned and best.tuned.test_score,
            "driver seconds": there.seconds,
            "worker seconds": there.worker_seconds,
        }
    answer["same policies"] = answer["undisturbed"]["best"] == answer["killed"]["best"]
    write_text(folder / "found.json", json.dumps(answer, indent=1))
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
