"""What a configuration or a command names as the device: this machine, one far away, or one on paper."""

from __future__ import annotations

from automc.devices.bench import Bench, LocalBench
from automc.errors import ConfigError, nearest

LOCAL = "local"


def open_target(name: str = LOCAL, threads: int = 1, batch: int = 1) -> Bench:
    """Returns the device of a name.

    Args:
        name: ``local``.
        threads: threads of one inference.
        batch: examples in one inference.

    Raises:
        ConfigError: there is no such device.
    """
    if name == LOCAL:
        return LocalBench(threads, batch)
    raise ConfigError(f"unknown device '{name}'{nearest(name, [LOCAL])}")
