"""A Ray cluster of several nodes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster

from automc.campaigns.workers import cluster as _  # noqa: F401 - before Ray, which reads what it sets  # isort: split

_SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


@contextmanager
def ray_cluster(*cpus: int, **settings: Any) -> Iterator[Cluster]:
    """Starts a node with so many processors for each number, the head first; ends all of them."""
    cluster = Cluster()
    try:
        for number in cpus:
            cluster.add_node(num_cpus=number, **_SMALL, **settings)
        yield cluster
    finally:
        cluster.shutdown()
