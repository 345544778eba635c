"""How two latency tables differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automc.latency_tables.signature import Signature
from automc.latency_tables.table import LatencyTable

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Ratios:
    """Second latency over first, of several operators.

    Attributes:
        operators: how many.
        quantiles: ratios at `QUANTILES`; empty where there is no operator.
    """

    operators: int
    quantiles: tuple[float, ...]

    @property
    def median(self) -> float | None:
        """The ratio that half of them are above."""
        return self.quantiles[QUANTILES.index(0.5)] if self.quantiles else None


@dataclass(frozen=True)
class Difference:
    """One operator in both tables; microseconds."""

    signature: Signature
    first: float
    second: float

    @property
    def ratio(self) -> float | None:
        """Second over first; None where the first is zero."""
        return self.second / self.first if self.first else None


@dataclass(frozen=True)
class Comparison:
    """Two tables side by side.

    Attributes:
        device: what differs between their devices, or None.
        ratios: of all operators in both whose latencies are above zero.
        by_kind: the same for each kind of operator and precision, those with most operators first.
        largest: operators in both, those first that differ most, in microseconds, from what the median ratio explains.
        only_first: operators in the first table only.
        only_second: operators in the second only.
    """

    device: str | None
    ratios: Ratios
    by_kind: dict[str, Ratios]
    largest: tuple[Difference, ...]
    only_first: tuple[Signature, ...]
    only_second: tuple[Signature, ...]


def compare(first: LatencyTable, second: LatencyTable) -> Comparison:
    """Compares two tables operator by operator; nothing is interpolated."""
    both = sorted(first.entries.keys() & second.entries.keys())
    found = [Difference(signature, first.entries[signature].us, second.entries[signature].us) for signature in both]
    ratios = _ratios(found)
    kinds: dict[str, list[Difference]] = defaultdict(list)
    for one in found:
        kinds[one.signature.op].append(one)
    usual = ratios.median or 1.0
    return Comparison(
        device=first.device.mismatch(second.device),
        ratios=ratios,
        by_kind={kind: _ratios(kinds[kind]) for kind in sorted(kinds, key=lambda kind: (-len(kinds[kind]), kind))},
        largest=tuple(sorted(found, key=lambda one: -abs(one.second - usual * one.first))),
        only_first=tuple(sorted(first.entries.keys() - second.entries.keys())),
        only_second=tuple(sorted(second.entries.keys() - first.entries.keys())),
    )


def _ratios(found: Sequence[Difference]) -> Ratios:
    values = [one.second / one.first for one in found if one.first > 0 and one.second > 0]
    quantiles = np.quantile(values, QUANTILES) if values else np.array([])
    return Ratios(len(found), tuple(round(float(value), 4) for value in quantiles))
