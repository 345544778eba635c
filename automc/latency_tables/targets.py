"""What a configuration or a command names as the device: this machine, one far away, or one on paper."""

from __future__ import annotations

from automc.devices.bench import Bench, LocalBench
from automc.errors import ConfigError, nearest
from automc.latency_tables.simulated import ACCELERATORS, Accelerator, make_accelerator

LOCAL = "local"
Target = Bench | Accelerator
"""Where models can be timed, or a model of hardware, on which nothing can."""


def open_target(name: str = LOCAL, threads: int = 1, batch: int = 1) -> Target:
    """Returns the device of a name.

    Args:
        name: ``local``, or one of `ACCELERATORS`.
        threads: threads of one inference.
        batch: examples in one inference.

    Raises:
        ConfigError: there is no such device, or it has no threads.
    """
    if name == LOCAL:
        return LocalBench(threads, batch)
    if name in ACCELERATORS:
        if threads != 1:
            raise ConfigError(f"device: {name} is a model of hardware without threads; leave threads out")
        return make_accelerator(name, batch)
    raise ConfigError(f"unknown device '{name}'{nearest(name, [LOCAL, *ACCELERATORS])}")
