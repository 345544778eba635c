"""The latency table: operators and their measured latencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np

from automc.devices.device import Device
from automc.errors import TableError
from automc.latency_tables.hardware import NINE_OF_TEN, Estimate, Hardware
from automc.latency_tables.overhead import Overhead, Whole, kind_of
from automc.latency_tables.predict import Kind
from automc.latency_tables.signature import Signature
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
        drifted: whether the device's speed changed while it was measured, however often that was tried.
    """

    us: float
    low: float
    high: float
    runs: int
    kernels: int = 1
    drifted: bool = False


@dataclass
class LatencyTable(Hardware):
    """Operator signature to latency, on one device.

    Attributes:
        device: what it was measured on, and is valid for.
        overhead: what a network costs beyond its operators.
        entries: the measurements; not to be changed once it was asked for any.
        measured_at: when the first of them was taken, ISO 8601, UTC.
        method: how, in one line.
        wholes: networks that the overhead was fitted on.
        reference_us: the usual latency of what is measured again and again, to notice drift; 0 where nothing was.
        validations: how far it was off for whole networks, newest last.
        repeatability: RMS of the relative difference between a measured operator's latency and the same measured
            again, over the square root of 2.
    """

    device: Device
    overhead: Overhead
    entries: dict[Signature, Entry] = field(default_factory=dict)
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    method: str = ""
    wholes: tuple[Whole, ...] = ()
    reference_us: float = 0.0
    validations: tuple[Validation, ...] = ()
    repeatability: float = 0.0

    @property
    def run_us(self) -> float:
        """What each inference costs beyond its operators, in microseconds."""
        return self.overhead.run

    def lookup(self, signature: Signature) -> Estimate:
        """Returns the latency of an operator by itself.

        Where it was not measured it is interpolated between measured widths, or else regressed on operators of its
        kind; the answer says so.

        Raises:
            TableError: nothing of its kind and size was measured.
        """
        return self.lookup_many([signature])[0]

    def lookup_many(self, signatures: Sequence[Signature]) -> list[Estimate]:
        """Returns the latencies of operators like `lookup`, faster than one by one."""
        found = self.estimates(signatures)
        return [self._known(signature, estimate) for signature, estimate in zip(signatures, found, strict=True)]

    def estimates(self, signatures: Sequence[Signature]) -> list[Estimate | None]:
        """Returns the latencies of operators like `lookup`, None where it would raise."""
        found: list[Estimate | None] = [self._measured.get(signature) for signature in signatures]
        for number, estimate in self._predicted(signatures, [n for n, one in enumerate(found) if one is None]):
            found[number] = estimate
        return found

    def distance(self, signature: Signature) -> float:
        """Returns how far the nearest measured operator of its family is, in doublings of a width; 1 where none is."""
        points = self._families.get((signature.family, len(signature.channels)))
        if points is None:
            return 1.0
        return float(np.abs(np.log2(points / np.array(signature.channels))).max(axis=1).min())

    def cost(self, signature: Signature) -> float:
        """Returns what an operator adds to a network's latency, in microseconds; raises TableError like `lookup`."""
        us, kernels = self._by_itself(signature)
        overhead = self.overhead.of(signature)
        # an operator may be all overhead, never less than nothing
        return max(overhead.scale * us + kernels * overhead.us, 0.0)

    def missing(self, signature: Signature) -> str:
        """Returns what to say of an operator that is not known."""
        return (
            f"the latency table of {self.device.name} has no entry for '{signature}' and none around it; "
            "measure it with: automc latency measure"
        )

    def covers(self, signature: Signature) -> bool:
        """Says whether an operator was measured, or lies between widths that were."""
        if signature in self.entries:
            return True
        kind = self._kinds.get(signature.op)
        return kind is not None and not np.isnan(kind.interpolate([signature])[0])

    def whole(self, subject: str, policy: str, signatures: Sequence[Signature], us: float) -> Whole:
        """Returns a network's measured latency in microseconds beside that of its operators; see `fitted`."""
        kinds: dict[str, tuple[float, int]] = {}
        for signature in signatures:
            each, kernels = self._by_itself(signature)
            total, count = kinds.get(kind_of(signature), (0.0, 0))
            kinds[kind_of(signature)] = (round(total + each, 3), count + kernels)
        return Whole(subject, policy, us, kinds)

    def fitted(self, wholes: Sequence[Whole]) -> LatencyTable:
        """Returns a table whose overhead fits these networks too; they replace earlier ones of the same subjects."""
        subjects = {whole.subject for whole in wholes}
        kept = (*(whole for whole in self.wholes if whole.subject not in subjects), *wholes)
        least: dict[str, float] = {}
        for signature, entry in self.entries.items():
            kind = kind_of(signature)
            least[kind] = min(least.get(kind, np.inf), entry.us / entry.kernels)
        return replace(self, overhead=self.overhead.fitted(kept, least), wholes=kept)

    def merged(self, entries: Mapping[Signature, Entry]) -> LatencyTable:
        """Returns a table that has these entries too."""
        return replace(self, entries={**self.entries, **entries})

    @cached_property
    def _measured(self) -> dict[Signature, Estimate]:
        return {s: self._estimate(e) for s, e in self.entries.items()}

    def _estimate(self, entry: Entry) -> Estimate:
        half = NINE_OF_TEN * self.repeatability * entry.us
        return Estimate(entry.us, round(max(entry.us - half, 0.0), 3), round(entry.us + half, 3), "measured")

    @cached_property
    def _kinds(self) -> dict[str, Kind]:
        grouped: dict[str, dict[Signature, float]] = {}
        for signature, entry in self.entries.items():
            grouped.setdefault(signature.op, {})[signature] = entry.us
        return {op: Kind(entries) for op, entries in grouped.items()}

    @cached_property
    def _families(self) -> dict[tuple[object, int], np.ndarray]:
        return {key: family.points for kind in self._kinds.values() for key, family in kind.families.items()}

    def _by_itself(self, signature: Signature) -> tuple[float, int]:
        """Returns an operator's latency in microseconds, and of how many kernels it is."""
        entry = self.entries.get(signature)
        return (entry.us, entry.kernels) if entry else (self.lookup(signature).us, self._kernels(signature))

    def _kernels(self, signature: Signature) -> int:
        """Returns of how many kernels an operator is: as many as the nearest of its family that was measured."""
        points = self._families.get((signature.family, len(signature.channels)))
        if points is None:
            return 1
        nearest = points[np.abs(points - np.array(signature.channels)).sum(axis=1).argmin()]
        return self.entries[replace(signature, channels=tuple(nearest.tolist()))].kernels

    def _predicted(
        self, signatures: Sequence[Signature], numbers: Sequence[int]
    ) -> Iterator[tuple[int, Estimate | None]]:
        """Yields what is known of operators that were not measured."""
        by_op: dict[str, list[int]] = {}
        for number in numbers:
            by_op.setdefault(signatures[number].op, []).append(number)
        for op, mine in by_op.items():
            if op in self._kinds:
                asked = [signatures[number] for number in mine]
                yield from zip(mine, self._kinds[op].estimate(asked), strict=True)

    def _known(self, signature: Signature, estimate: Estimate | None) -> Estimate:
        if estimate is None:
            raise TableError(self.missing(signature))
        return estimate
