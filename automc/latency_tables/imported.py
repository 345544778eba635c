"""A table that another program measured: it answers for its own entries and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automc.devices.device import Device
from automc.errors import ConfigError
from automc.latency_tables.hardware import NINE_OF_TEN, Estimate
from automc.latency_tables.signature import Signature
from automc.latency_tables.table import Entry, LatencyTable

QUARTILE = 0.6745
"""How many standard deviations a normal distribution's quartiles are from its mean."""
_OF_QUARTILES = NINE_OF_TEN / QUARTILE
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass
class ImportedTable(LatencyTable):
    """Latencies from a file of another program.

    Nothing is interpolated: how the other program measured, and whether widths in between behave as they do here, is
    not known.

    Attributes:
        imported: from what file, by its SHA-256, and how its numbers were read.
        per_layer: whether its network is the sum of its layers, each at bits of its own, and all else costs nothing.
    """

    imported: str = ""
    per_layer: bool = False

    def estimates(self, signatures: Sequence[Signature]) -> list[Estimate | None]:
        """Returns the latencies of operators that the file had, None for any other."""
        found = (self.entries.get(signature) for signature in signatures)
        return [None if entry is None else _estimate(entry) for entry in found]

    def cost(self, signature: Signature) -> float:
        """Returns the same, in microseconds; raises TableError like `lookup`."""
        return self.lookup(signature).us

    def missing(self, signature: Signature) -> str:
        """Returns what to say of an operator that is not known."""
        return (
            f"the imported latency table '{self.device.name}' has no entry for '{signature}'; it answers only for what "
            "its file had (automc latency show lists it)"
        )

    def covers(self, signature: Signature) -> bool:
        """Says whether `lookup` would answer."""
        return signature in self.entries


def _estimate(entry: Entry) -> Estimate:
    # quartiles are kept; an estimate says where nine of ten measurements lie
    low = max(entry.us - _OF_QUARTILES * (entry.us - entry.low), 0.0)
    return Estimate(entry.us, round(low, 3), round(entry.us + _OF_QUARTILES * (entry.high - entry.us), 3), "imported")


def unknown_device(name: str, batch: int = 1, precisions: tuple[tuple[int, int], ...] = ((32, 32),)) -> Device:
    """Returns what is known of the device behind an imported file: its name, by whoever imports it, and the batch."""
    return Device(
        name=name, processor="unknown", instructions=(), runtime="unknown", batch=batch, precisions=precisions
    )


def microseconds(unit: str) -> float:
    """Returns how many microseconds one of a unit is.

    Args:
        unit: ``us``, ``ms``, ``s``, or ``cycles:MHz`` such as ``cycles:200``.

    Raises:
        ConfigError: it is none of these.
    """
    name, _, frequency = unit.partition(":")
    if name == "cycles":
        try:
            megahertz = float(frequency)
        except ValueError:
            megahertz = 0.0
        if 1e-3 <= megahertz <= 1e6:
            return 1 / megahertz
    elif unit in _UNITS:
        return _UNITS[unit]
    raise ConfigError(f"unknown unit '{unit}' (known: us, ms, s, and cycles:MHz such as cycles:200)")
