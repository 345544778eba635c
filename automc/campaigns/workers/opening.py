"""From a configuration to workers."""

from __future__ import annotations

from automc.campaigns.config import Compute
from automc.campaigns.workers._base import Work, Workers
from automc.campaigns.workers.local import LocalWorkers


def open_workers(compute: Compute, work: Work) -> Workers:
    """Returns workers as they were asked for; one needs no Ray, and is this process.

    Raises:
        ConfigError: there is no such cluster, or it lacks what was asked for.
    """
    if not compute.on_ray:
        return LocalWorkers(work.evaluator)
    from automc.campaigns.workers.on_ray import RayWorkers  # Ray takes a second to import

    return RayWorkers(compute, work)
