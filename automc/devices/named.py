"""Devices at hand by their names: this machine, or the address of one far away."""

from __future__ import annotations

from automc.devices.bench import LOCAL, Bench, LocalBench


def open_bench(name: str, threads: int = 1, batch: int = 1) -> Bench | None:
    """Returns the device of a name, or None where the name is neither ``local`` nor an address.

    Args:
        name: ``local``, or ``http://host:port``.
        threads: threads of one inference.
        batch: examples in one inference.

    Raises:
        ConfigError: the address makes no sense, or there is no token or a wrong one.
        RuntimeFailure: the device does not answer, or not as one of this version does.
    """
    if name == LOCAL:
        return LocalBench(threads, batch)
    if "://" not in name:
        return None
    from automc.devices.remote import RemoteBench  # its HTTP client is not needed on the device's own side

    return RemoteBench(name, threads, batch)
