"""What a policy costs, metric by metric."""

from __future__ import annotations

from dataclasses import dataclass

EXACT = ("macs", "params", "size")
METRICS = ("latency", *EXACT, "memory", "energy")

MISSING = {
    "latency": "no latency without a latency table",
    "energy": "the hardware gives no energy",
    "memory": "no memory is known",
}


@dataclass(frozen=True)
class Cost:
    """What one policy costs.

    Attributes:
        macs: multiply-accumulates for one example.
        params: parameters.
        size: bytes of parameters and buffers.
        latency: microseconds for one inference of the device's batch; None without a latency table.
        memory: bytes of activations at the peak of one inference of the device's batch; None in what was written
            before they were counted.
        energy: microjoules for one inference of the device's batch; None where the hardware gives none.
    """

    macs: float
    params: float
    size: float
    latency: float | None = None
    memory: float | None = None
    energy: float | None = None

    def get(self, metric: str) -> float:
        """Returns one metric by name; raises ValueError where it is not known, as latency without a table."""
        value = getattr(self, metric)
        if value is None:
            raise ValueError(MISSING[metric])
        return float(value)
