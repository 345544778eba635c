"""A Ray cluster of several nodes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster


@contextmanager
def ray_cluster(*nodes: int) -> Iterator[Cluster]:
    """Starts a node with so many processors for each number, the head first; ends all of them."""
    head, *others = nodes
    cluster = start_head(head)
    try:
        for processors in others:
            add_node(cluster, processors)
        yield cluster
    finally:
        cluster.shutdown()


def start_head(processors: int) -> Cluster:
    """Starts a cluster of one node; once more where a busy machine was too slow for Ray's half a minute."""
    for last in (False, True):
        cluster = Cluster()
        try:
            add_node(cluster, processors)
            return cluster
        except Exception:  # Ray raises no class of its own for it
            cluster.shutdown()
            if last:
                raise
    raise AssertionError


def add_node(cluster: Cluster, processors: int, **environment: str) -> Any:
    """Starts one more node, whose processes have more in their environment; a second time, as for the head."""
    settings: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    settings |= {"num_cpus": processors, "env_vars": environment or None}
    try:
        return cluster.add_node(**settings)
    except Exception:
        if cluster.head_node is None:
            raise
        return cluster.add_node(**settings)
