"""What a configuration or a command names as the device: this machine, one far away, or one on paper."""

from __future__ import annotations

from automc.devices import LOCAL, Bench, open_bench
from automc.errors import ConfigError, nearest
from automc.latency_tables.simulated import ACCELERATORS, Accelerator, make_accelerator

Target = Bench | Accelerator
"""Where models can be timed, or a model of hardware, on which nothing can."""


def open_target(name: str = LOCAL, threads: int = 1, batch: int = 1) -> Target:
    """Returns the device of a name.

    Args:
        name: ``local``, ``http://host:port`` for one far away, where ``automc device serve`` runs, or one of
            `ACCELERATORS`.
        threads: threads of one inference.
        batch: examples in one inference.

    Raises:
        ConfigError: there is no such device, it has no threads, or its address or token is wrong.
        RuntimeFailure: the device does not answer.
    """
    if name in ACCELERATORS:
        if threads != 1:
            raise ConfigError(f"device: {name} is a model of hardware without threads; leave threads out")
        return make_accelerator(name, batch)
    bench = open_bench(name, threads, batch)
    if bench is None:
        raise ConfigError(f"unknown device '{name}'{nearest(name, [LOCAL, 'http://host:port', *ACCELERATORS])}")
    return bench
