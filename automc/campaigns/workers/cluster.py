"""The Ray cluster that this process drives: one that runs, or one of its own on this machine."""

from __future__ import annotations

import logging
import math
import os
import secrets
import time
from types import TracebackType
from typing import Any, Self

import ray

from automc import progress
from automc.campaigns.config import Compute
from automc.campaigns.workers.head import check_head, unreachable
from automc.errors import ClusterLost, ConfigError, one_line

_LOOK = 1.0  # seconds between two looks at whether the head is there
_SILENCE = 6.0  # seconds without an answer after which it is gone; before Ray ends this process for that


class Connection:
    """A process's connection to a cluster, with what workers need to be there.

    Without an address, and outside of a job that was handed in to a cluster, Ray is started on this machine, open to
    nobody without a token that only this process and its children know, and ended with the connection. A connection
    that this process has already is used and left alone.

    Args:
        compute: which cluster, and how much of it.

    Attributes:
        address: ``host:port`` of the head.

    Raises:
        ConfigError: there is no such cluster, it cannot be connected to, or it has no room for so much.
    """

    def __init__(self, compute: Compute) -> None:
        if compute.gpus > 1 and not compute.gpus.is_integer():
            raise ConfigError("compute.gpus: must be a whole number, or a share of one GPU, below 1")
        self._ours = not ray.is_initialized()
        if self._ours:
            address = compute.ray_address or os.environ.get("RAY_ADDRESS")
            _connect(check_head(address), compute) if address else _start(compute)
        try:
            self._nodes: dict[str, tuple[str, int]] = {}
            nodes = self._look_around()
            self.address: str = ray.get_runtime_context().gcs_address
            host, _, port = self.address.rpartition(":")
            self._head = host.strip("[]"), int(port)
            self._own_node = ray.get_runtime_context().get_node_id()
            self._looked = self._heard = time.monotonic()
            _check_room(nodes, compute)
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Sees, every now and then, whether the cluster is still there.

        Raises:
            ClusterLost: it is not.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        problem = unreachable(*self._head, _LOOK) or unreachable(*self._nodes[self._own_node], _LOOK)
        if problem is None:
            self._heard = time.monotonic()
        elif now - self._heard > _SILENCE:
            raise ClusterLost(f"the Ray cluster at {self.address} is gone ({problem}); start it, then resume")

    def there(self, node: str) -> bool:
        """Says whether a node of the cluster still answers."""
        if node not in self._nodes:
            self._look_around()
        return node in self._nodes and unreachable(*self._nodes[node], _LOOK) is None

    def close(self) -> None:
        """Disconnects; a Ray that was started for it is ended."""
        if self._ours and ray.is_initialized():
            ray.shutdown()

    def _look_around(self) -> list[dict[str, Any]]:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        self._nodes |= {node["NodeID"]: (node["NodeManagerAddress"], node["NodeManagerPort"]) for node in nodes}
        return nodes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def runtime_env(compute: Compute) -> dict[str, Any]:
    """Returns what worker processes have in their environment: as many threads as they may use, and none that spins."""
    return {"env_vars": {"OMP_NUM_THREADS": str(compute.cpus), "OMP_WAIT_POLICY": "PASSIVE"}}


def _start(compute: Compute) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = compute.workers * compute.cpus
    if wanted > cores:
        progress.say(f"{compute.workers} workers with {compute.cpus} CPU each share the {cores} CPU of this machine")
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        # kept to the end of this process, since Ray reads it once; without it Ray would write one into the user's home
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    _connect("local", compute, num_cpus=wanted, include_dashboard=False)


def _connect(address: str, compute: Compute, **settings: Any) -> None:
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env=runtime_env(compute),  # that of workers, so that processes started in advance are theirs
            **settings,
        )
    except Exception as error:  # of many kinds: versions of Python that differ, no room on disk, no process to be had
        ray.shutdown()  # it may have come half-way
        cause = error.__cause__ or error
        where = "Ray cannot be started here" if address == "local" else f"ray_address: cannot connect to {address}"
        raise ConfigError(f"{where}: {one_line(cause)}") from error


def _check_room(nodes: list[dict[str, Any]], compute: Compute) -> None:
    """Refuses what the nodes would have no room for even if nobody else used them."""
    have = {name: sum(node["Resources"].get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}
    if sum(_fitting(node["Resources"], compute) for node in nodes) >= compute.workers:
        return
    each = f"{compute.cpus} CPU" + (f" and {compute.gpus:g} GPU" if compute.gpus else "")
    raise ConfigError(
        f"compute: {compute.workers} workers with {each} each were asked for, and there are {have['CPU']:g} CPU and "
        f"{have['GPU']:g} GPU on {len(nodes)} node{'s' * (len(nodes) > 1)}; ask for fewer or smaller workers"
    )


def _fitting(resources: dict[str, float], compute: Compute) -> int:
    by_cpus = math.floor(resources.get("CPU", 0.0) / compute.cpus)
    if not compute.gpus:
        return by_cpus
    gpus = resources.get("GPU", 0.0)
    by_gpus = math.floor(gpus / compute.gpus) if compute.gpus >= 1 else math.floor(gpus) * math.floor(1 / compute.gpus)
    return min(by_cpus, by_gpus)
