"""A roofline: arithmetic or memory, whichever takes longer (Williams, Waterman and Patterson, CACM 2009)."""

from __future__ import annotations

from collections.abc import Mapping

from automc.errors import ConfigError
from automc.latency_tables.energy import DEFAULT
from automc.latency_tables.products import Product
from automc.latency_tables.simulated._base import Accelerator, on_paper

Bits = tuple[int, int]

PEAKS: Mapping[Bits, float] = {(4, 4): 4e12, (4, 8): 2e12, (8, 8): 2e12, (32, 32): 0.125e12}
"""Multiply-accumulates a second of no device in particular: 4 TOPS at 8 bits, twice that at 4, a sixteenth in float."""
BANDWIDTH = 8e9


class Roofline(Accelerator):
    """A device that is known by its peaks alone.

    An operator takes ``max(macs / peak, bytes / bandwidth)``: each operand is read once and the result written once, at
    the bits asked for. The defaults are ours and describe no device; give those of yours.

    Args:
        name: by which results name it.
        peaks: multiply-accumulates a second for each (weight bits, activation bits) that it runs; (32, 32) is float.
        bandwidth: bytes a second to main memory.
        batch: examples in one inference.
        channel_multiple: widths that leave no part of its vectors unused.
        energies: the name of an energy table.

    Raises:
        ConfigError: a peak or the bandwidth is not above 0, or more bits have a higher peak.
    """

    def __init__(
        self,
        name: str = "roofline",
        peaks: Mapping[Bits, float] = PEAKS,
        bandwidth: float = BANDWIDTH,
        batch: int = 1,
        channel_multiple: int = 8,
        energies: str = DEFAULT,
    ) -> None:
        if not peaks or min(*peaks.values(), bandwidth) <= 0:
            raise ConfigError(f"{name}: a roofline needs peaks and a bandwidth above 0")
        for (w, a), peak in peaks.items():
            faster = [(v, b) for (v, b), other in peaks.items() if v >= w and b >= a and other > peak]
            if faster:
                raise ConfigError(f"{name}: its peak at {w}/{a} bits is below that at {faster[0][0]}/{faster[0][1]}")
        told = f"roofline of {max(peaks.values()) / 1e12:g} TMAC/s and {bandwidth / 1e9:g} GB/s"
        super().__init__(on_paper(name, told, batch, channel_multiple, tuple(sorted(peaks))), energies)
        self.peaks, self.bandwidth = dict(peaks), bandwidth

    def microseconds(self, product: Product, weights: int, activations: int) -> float:
        """Returns the longer of computing and moving."""
        computing = product.macs / self.peaks[weights, activations]
        return 1e6 * max(computing, self.moved(product, weights, activations) / self.bandwidth)

    def moved(self, product: Product, weights: int, activations: int) -> float:
        """Returns each operand and the result once."""
        return product.bytes_at(weights, activations)
