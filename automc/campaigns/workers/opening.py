"""From a configuration to workers."""

from __future__ import annotations

import os

import torch

from automc.campaigns.config import Compute
from automc.campaigns.workers._base import Work, Workers
from automc.campaigns.workers.local import LocalWorkers
from automc.errors import ConfigError


def open_workers(compute: Compute, work: Work) -> Workers:
    """Returns workers as they were asked for; one needs no Ray, and is this process.

    Raises:
        ConfigError: there is no such cluster, or it lacks what was asked for.
    """
    if not compute.on_ray:
        return LocalWorkers(work.evaluator)
    from automc.campaigns.workers.on_ray import RayWorkers  # Ray takes a second to import

    return RayWorkers(compute, work)


def check_compute(compute: Compute) -> None:
    """Sees, within ten seconds and before anything else is done, whether workers can be had.

    Raises:
        ConfigError: the cluster cannot be connected to, or there are too few GPUs here.
    """
    if not compute.on_ray:
        return
    if address := compute.ray_address or os.environ.get("RAY_ADDRESS"):
        from automc.campaigns.workers.head import check_head

        check_head(address)
    elif compute.gpus * compute.workers > (there := torch.cuda.device_count()):
        raise ConfigError(
            f"compute.gpus: {compute.workers} workers of {compute.gpus:g} GPUs each were asked for, and PyTorch sees "
            f"{there} here; ask for fewer, or name a cluster: ray_address"
        )
