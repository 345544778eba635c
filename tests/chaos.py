"""A campaign on a cluster of its own, in which everything is killed with -9, over and over, and started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from automc.campaigns.campaign import Campaign, Status
from automc.campaigns.storage import Storage
from automc.errors import AutoMCError
from tests.clusters import add_node, start_head
from tests.postgres import Postgres

TASK = Path(__file__).with_name("failing.py")
NAME = "chaos"
VICTIMS = ("driver", "worker", "node", "database")


class Chaos:
    """A PostgreSQL, a Ray cluster of a head without processors and two nodes, and a campaign under its supervisor.

    Every evaluation does nothing for a while.

    Args:
        folder: where everything is written.
        evaluations: of the campaign, its control included.
        seconds: that an evaluation takes.
        seed: of who is killed, and when.

    Attributes:
        killed: how often whom.
    """

    def __init__(self, folder: Path, evaluations: int, seconds: float, seed: int = 0) -> None:
        self._folder, self._evaluations, self._random = folder, evaluations, random.Random(seed)
        self.killed: Counter[str] = Counter()
        # the nodes' processes are children of this one
        self._environment = {"FAILING_LOG": str(folder / "scored"), "FAILING_SLOW": str(seconds)}
        os.environ.update(self._environment)
        self._postgres = Postgres()
        self.url = self._postgres.database()
        self._cluster: Any = start_head(0)
        self._nodes = [add_node(self._cluster, 1) for _ in range(2)]
        config = {
            "task": f"{TASK}:Slow",
            "agent": "random",
            "budget": "macs<=50%",
            "evaluations": evaluations - 1,  # and the uniform policy
            "finalists": 1,
            "space": {"channel_multiple": 1},
            "device": {"target": "bismo-cloud"},
            "compute": {"workers": 2, "ray_address": self._cluster.address},
        }
        (folder / "chaos.yaml").write_text(json.dumps(config))
        command = [sys.executable, "-m", "automc.cli", "campaign", "start", "chaos.yaml", "--name", NAME]
        environment = os.environ | {"AUTOMC_STORAGE": self.url}
        with (folder / "log").open("w") as log:
            self._supervisor = subprocess.Popen(
                [*command, "--foreground", "--out", "out"],
                cwd=folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def log(self) -> str:
        """What the supervisor and its drivers said."""
        return (self._folder / "log").read_text()

    def status(self) -> Status | None:
        """Returns how the campaign stands, by a storage of this process; None before there is one."""
        try:
            storage = Storage(self.url)
            try:
                return Campaign(storage, NAME).status()
            finally:
                storage.close()
        except AutoMCError:
            return None

    def run(self, kills: int, between: tuple[float, float], minutes: float) -> Status:
        """Kills somebody at random, a while after some evaluation was committed; returns how it stands in the end."""
        deadline, seen = time.monotonic() + 60 * minutes, 0
        while sum(self.killed.values()) < kills and self._supervisor.poll() is None and time.monotonic() < deadline:
            status = self.status()
            if status is None or status.evaluations <= seen:
                time.sleep(0.2)
                continue
            seen = status.evaluations
            time.sleep(self._random.uniform(*between))
            victim = VICTIMS[sum(self.killed.values()) % len(VICTIMS)]
            if getattr(self, f"_kill_{victim}")(status):
                self.killed[victim] += 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(max(deadline - time.monotonic(), 1.0))
        status = self.status()
        assert status is not None
        return status

    def close(self) -> None:
        """Ends all that is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._supervisor.pid, signal.SIGKILL)
        self._supervisor.wait()
        for key in self._environment:
            del os.environ[key]
        self._cluster.shutdown()
        self._postgres.close()

    def _kill_driver(self, status: Status) -> bool:
        if status.driver is None:
            return False
        return _kill(int(status.driver.rpartition(":")[2]))

    def _kill_worker(self, status: Status) -> bool:
        workers = [
            process.pid
            for node in self._nodes
            for raylet in [node.all_processes["raylet"][0].process.pid]
            for process in psutil.Process(raylet).children(recursive=True)
            if _evaluates(process)
        ]
        return bool(workers) and _kill(self._random.choice(workers))

    def _kill_node(self, status: Status) -> bool:
        node = self._nodes.pop(self._random.randrange(len(self._nodes)))
        self._cluster.remove_node(node, allow_graceful=False)
        time.sleep(1.0)
        self._nodes.append(add_node(self._cluster, 1))
        return True

    def _kill_database(self, status: Status) -> bool:
        self._postgres.kill()
        time.sleep(1.0)
        self._postgres.start()
        return True


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _evaluates(process: psutil.Process) -> bool:
    """Says whether one of Ray's processes is a worker of ours; a node ends with its agents, which are no workers."""
    try:
        command = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    return "ray::" in command and "Agent" not in command and "IDLE" not in command
