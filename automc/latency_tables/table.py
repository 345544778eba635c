"""The latency table: operators and their measured latencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from automc.devices.device import Device
from automc.errors import TableError
from automc.latency_tables.hardware import Estimate, Hardware, How
from automc.latency_tables.signature import INT8, Signature
from automc.latency_tables.validation import Validation


@dataclass(frozen=True)
class Entry:
    """The latency of one operator.

    Attributes:
        us: mean over interleaved runs that were not disturbed, in microseconds.
        low: first quartile.
        high: third quartile.
        runs: how many runs.
        kernels: how many kernels the runtime makes of it; a change of precision may take a change of layout too.
    """

    us: float
    low: float
    high: float
    runs: int
    kernels: int = 1


@dataclass(frozen=True)
class Overhead:
    """What a network costs beyond its operators, fitted on chains of one operator each; microseconds.

    Attributes:
        run: for each inference.
        kernel: for each operator of it; below zero when the runtime's profile overstates operators.
        int8: the same for each operator in int8.
    """

    run: float
    kernel: float
    int8: float = 0.0


@dataclass
class LatencyTable(Hardware):
    """Operator signature to latency, on one device.

    Attributes:
        device: what it was measured on, and is valid for.
        overhead: what a network costs beyond its operators.
        entries: the measurements.
        measured_at: when the first of them was taken, ISO 8601, UTC.
        method: how, in one line.
        validations: how far it was off for whole networks, newest last.
    """

    device: Device
    overhead: Overhead
    entries: dict[Signature, Entry] = field(default_factory=dict)
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    method: str = ""
    validations: tuple[Validation, ...] = ()

    @property
    def run_us(self) -> float:
        """What each inference costs beyond its operators, in microseconds."""
        return self.overhead.run

    def lookup(self, signature: Signature) -> Estimate:
        """Returns the latency of an operator.

        An operator that was not measured is interpolated between measured widths and marked so.

        Raises:
            TableError: it was not measured and lies outside of what was.
        """
        entry = self._find(signature)
        how: How = "measured" if signature in self.entries else "interpolated"
        return Estimate(entry.us, entry.low, entry.high, how)

    def cost(self, signature: Signature) -> float:
        """Returns what an operator adds to a network's latency, in microseconds; raises TableError like `lookup`."""
        overhead = self.overhead.int8 if signature.op.startswith(INT8) else self.overhead.kernel
        # an operator may be all overhead, never less than nothing
        entry = self._find(signature)
        return max(entry.us + entry.kernels * overhead, 0.0)

    def covers(self, signature: Signature) -> bool:
        """Says whether `lookup` would answer."""
        return signature in self.entries or self._interpolate(signature) is not None

    def merged(self, entries: Mapping[Signature, Entry]) -> LatencyTable:
        """Returns a table that has these entries too."""
        return replace(self, entries={**self.entries, **entries})

    def _find(self, signature: Signature) -> Entry:
        entry = self.entries.get(signature) or self._interpolate(signature)
        if entry is None:
            raise TableError(
                f"the latency table of {self.device.name} has no entry for '{signature}' and none around it; "
                "measure it with: automc latency measure"
            )
        return entry

    def _interpolate(self, signature: Signature) -> Entry | None:
        """Interpolates linearly between the measured widths of the same operator; None outside of them."""
        family = [(s.channels, e) for s, e in self.entries.items() if s.family == signature.family]
        family = [(c, e) for c, e in family if len(c) == len(signature.channels)]
        if len(family) < 2:
            return None
        points = np.array([channels for channels, _ in family], dtype=float)
        values = np.array([(e.us, e.low, e.high) for _, e in family])
        found = _piecewise_linear(points, values, np.array(signature.channels, dtype=float))
        if found is None:
            return None
        us, low, high = (round(float(value), 3) for value in found)
        return Entry(us, low, high, runs=0, kernels=max(entry.kernels for _, entry in family))


def _piecewise_linear(points: np.ndarray, values: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Interpolates values (N, V) at points (N, D) for one target (D,); None outside of the points' hull."""
    from scipy.interpolate import LinearNDInterpolator
    from scipy.linalg import qr

    # a width on which all points agree, or that follows from others as in one channel group, is no dimension
    offsets = points - points[0]
    rank = int(np.linalg.matrix_rank(offsets))
    if np.linalg.matrix_rank(np.vstack([offsets, target - points[0]])) > rank:
        return None
    columns = np.sort(qr(offsets, mode="r", pivoting=True)[1][:rank])
    points, target = points[:, columns], target[columns]
    if rank == 1:
        x = points[:, 0]
        if not x.min() <= target[0] <= x.max():
            return None
        order = np.argsort(x)
        return np.array([np.interp(target[0], x[order], values[order, v]) for v in range(values.shape[1])])
    found = LinearNDInterpolator(points, values, rescale=True)(target)[0]
    return None if np.isnan(found).any() else found
