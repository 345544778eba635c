"""What a configuration or a command names as the device: this machine, one far away, or one on paper."""

from __future__ import annotations

from automc.devices import LOCAL, Bench, open_bench
from automc.errors import ConfigError, nearest


def open_target(name: str = LOCAL, threads: int = 1, batch: int = 1) -> Bench:
    """Returns the device of a name.

    Args:
        name: ``local``, or ``http://host:port`` for one far away, where ``automc device serve`` runs.
        threads: threads of one inference.
        batch: examples in one inference.

    Raises:
        ConfigError: there is no such device, or its address or token is wrong.
        RuntimeFailure: the device does not answer.
    """
    bench = open_bench(name, threads, batch)
    if bench is None:
        raise ConfigError(f"unknown device '{name}'{nearest(name, [LOCAL, 'http://host:port'])}")
    return bench
