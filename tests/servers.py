"""``automc serve`` in a process of its own, over real sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil

CAMPAIGN: dict[str, Any] = {
    "task": "digits",
    "config": {"budget": "macs<=40%", "evaluations": 2, "finalists": 1, "agent": "random", "seed": 3},
}
"""A short campaign."""


class Service:
    """A server; leaving the block ends it, and campaigns that it started.

    Args:
        folder: its user data, its storage and the files of campaigns; the same one again goes on with them.
        options: further arguments of the command.
        environment: further variables.
    """

    def __init__(self, folder: Path, *options: str, port: int = 0, **environment: str) -> None:
        self.folder = folder
        self.storage = f"sqlite:///{folder / 'campaigns.db'}"
        self.environment = os.environ | {"AUTOMC_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
        self.environment |= {"OMP_WAIT_POLICY": "PASSIVE", "AUTOMC_STORAGE": self.storage} | environment
        self.output = folder / f"server-{uuid.uuid4().hex}.txt"
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-u", "-P", "-m", "automc.cli", "serve", "--port", str(port)]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*command, "--out", str(folder / "runs"), *options],
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=folder,
            )
        until(lambda: "serves on" in self.output.read_text() or self.process.poll() is not None)
        text = self.output.read_text()
        assert "serves on" in text, text
        self.url = text.split("serves on ")[1].split(";")[0].strip()

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request; paths begin below ``/api/v1`` unless they begin with two slashes."""
        path = path[1:] if path.startswith("//") else f"/api/v1{path}"
        return httpx2.request(method, self.url + path, trust_env=False, timeout=30, **options)

    def start(self, **changes: Any) -> str:
        """Starts a short campaign; returns its name."""
        request = {**CAMPAIGN, **changes}
        answer = self.ask("POST", "/campaigns", json=request)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["name"])

    def campaign(self, name: str) -> dict[str, Any]:
        """Returns a campaign as it stands."""
        found: dict[str, Any] = self.ask("GET", f"/campaigns/{name}").json()
        return found

    def await_state(self, name: str, *states: str, seconds: float = 120) -> dict[str, Any]:
        """Waits until a campaign is in one of these states; returns it."""
        until(lambda: self.campaign(name)["state"] in states, seconds)
        return self.campaign(name)

    def kill(self) -> None:
        """Kills it with -9; campaigns go on."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ends it as Ctrl-C does; returns its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        for process in psutil.process_iter():  # what drives campaigns is in sessions of its own
            with contextlib.suppress(psutil.Error):
                if process.environ().get("AUTOMC_STORAGE") == self.storage:
                    process.kill()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.1)
