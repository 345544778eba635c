"""Operators that were never measured, by a roofline of those that were."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from automc.errors import TableError
from automc.latency_tables.hardware import Estimate, Wrapper
from automc.latency_tables.products import work_of
from automc.latency_tables.signature import Signature
from automc.latency_tables.table import LatencyTable

_FEW = 8  # operators below which there is no roofline
_BEST, _OFF = 0.9, 0.9  # quantiles: of the rates that were reached, and of how far the roofline is off


class WithEstimates(Wrapper):
    """A table that guesses where it knows nothing, and says so.

    What it does not know takes ``least + max(macs / peak, bytes / bandwidth)`` (the roofline of Williams, Waterman and
    Patterson, CACM 2009). Peak, in the operator's precision, and bandwidth are what nine of ten measured operators stay
    below, least is what the quickest took. The interval is as wide as nine of ten of the table's own operators need.

    Args:
        table: what was measured.
    """

    def __init__(self, table: LatencyTable) -> None:
        super().__init__(table)
        self._table = table

    def lookup(self, signature: Signature) -> Estimate:
        """Returns the table's answer, or else a guess; raises TableError where there is nothing to guess by."""
        (known,) = self._table.estimates([signature])
        if known is not None:
            return known
        if self._off is None or signature.bits not in self._peaks:
            raise TableError(f"{self._table.missing(signature)}; nor does it have enough operators to estimate it by")
        us = float(self._roofline([signature])[0])
        return Estimate(round(us, 3), round(us / self._off, 3), round(us * self._off, 3), "roofline")

    def cost(self, signature: Signature) -> float:
        """Returns what an operator adds to a network's latency, in microseconds; raises TableError like `lookup`."""
        found = self.lookup(signature)
        return found.us if found.how == "roofline" else self._table.cost(signature)

    @cached_property
    def _known(self) -> tuple[list[Signature], np.ndarray, np.ndarray]:
        """Measured operators, their (multiply-accumulates, bytes) (N, 2), and their latencies (N,)."""
        signatures, work = [], []
        for signature in self._table.entries:
            try:
                work.append(work_of(signature))
            except (TableError, KeyError):  # a kind that says nothing of its size
                continue
            signatures.append(signature)
        return signatures, np.array(work).reshape(-1, 2), np.array([self._table.entries[s].us for s in signatures])

    @cached_property
    def _peaks(self) -> dict[tuple[int, int], float]:
        """Multiply-accumulates a microsecond in each precision."""
        signatures, work, us = self._known
        reached: dict[tuple[int, int], list[float]] = {}
        for signature, macs, each in zip(signatures, work[:, 0], us, strict=True):
            if macs > 0 and each > 0:
                reached.setdefault(signature.bits, []).append(macs / each)
        return {bits: float(np.quantile(rates, _BEST)) for bits, rates in reached.items()}

    @cached_property
    def _off(self) -> float | None:
        """Factor within which the roofline is for nine of ten measured operators; None where these are few."""
        signatures, _, us = self._known
        rows = [row for row, s in enumerate(signatures) if us[row] > 0 and s.bits in self._peaks]
        if len(rows) < _FEW:
            return None
        ratios = self._roofline([signatures[row] for row in rows]) / us[rows]
        return float(np.exp(np.quantile(np.abs(np.log(ratios)), _OFF)))

    def _roofline(self, signatures: Sequence[Signature]) -> np.ndarray:
        _, work, us = self._known
        bandwidth = np.quantile(work[us > 0, 1] / us[us > 0], _BEST)
        asked = np.array([work_of(signature) for signature in signatures])
        peaks = np.array([self._peaks[signature.bits] for signature in signatures])
        return us[us > 0].min() + np.maximum(asked[:, 0] / peaks, asked[:, 1] / bandwidth)
