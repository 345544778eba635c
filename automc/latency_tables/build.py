"""Building a table: what is asked for in pieces that are kept one by one, then what is least sure."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from automc import progress
from automc.devices.bench import Bench
from automc.latency_tables.measure import Measured, measure_entries, new_table
from automc.latency_tables.signature import Signature
from automc.latency_tables.table import LatencyTable

_PIECE = 120  # operators measured between two times that the table is kept: some seconds
_SURE, _SURE_US = 0.1, 0.5  # share of the latency, or microseconds, that an interval may reach to each side
_ALIKE = 4  # operators of one family that come before all others: the first of them tell much of the rest

Keep = Callable[[LatencyTable], None]


def measure_table(bench: Bench, signatures: Sequence[Signature]) -> LatencyTable:
    """Measures a new table of these operators."""
    return extend_table(bench, new_table(bench), signatures)


def extend_table(
    bench: Bench,
    table: LatencyTable,
    signatures: Sequence[Signature],
    candidates: Sequence[Signature] = (),
    seconds: float | None = None,
    keep: Keep | None = None,
) -> LatencyTable:
    """Measures what a table lacks.

    Args:
        bench: where; the table's device.
        table: what is known; nothing of it is measured again.
        signatures: operators to measure.
        candidates: more of them, of which those are measured, after the others, whose predictions are least sure.
        seconds: after which no further piece is begun.
        keep: called with the table after each piece, so that nothing is lost.

    Returns:
        The table; where time was short it may lack some, which `LatencyTable.covers` tells.

    Raises:
        TableError: an operator cannot be measured.
        RuntimeFailure: the runtime or the device failed; what was kept before stays.
    """
    end = time.monotonic() + seconds if seconds is not None else np.inf
    missing = sorted(set(signatures) - set(table.entries))
    random.Random(0).shuffle(missing)  # a table that ends early knows something of everything
    total, done = len(missing), 0
    while time.monotonic() < end:
        piece = missing[done : done + _PIECE] or _least_sure(table, candidates)
        if not piece:
            break
        left = f"{min(done + _PIECE, total)} of {total}" if done < total else f"least sure, {len(table.entries)} so far"
        measured = measure_entries(bench, piece, table.reference_us, f"Measuring operators ({left})")
        table = replace(
            table.merged(measured.entries),
            reference_us=round(measured.reference_us, 3),
            repeatability=_pooled(table, measured),
        )
        done += len(piece)
        if keep is not None:
            keep(table)
    if done < total:
        progress.say(f"Out of time: {total - done} of {total} operators were not measured; the same command goes on")
    return table


def _pooled(table: LatencyTable, measured: Measured) -> float:
    """Returns the RMS of both, each as often as it has operators."""
    counts = np.array([len(table.entries), len(measured.entries)])
    squares = np.array([table.repeatability**2, measured.repeatability**2])
    return round(float(np.sqrt(np.average(squares, weights=counts))), 4)


def _least_sure(table: LatencyTable, candidates: Sequence[Signature]) -> list[Signature]:
    """Returns the operators whose measurement would tell most: wide intervals, and far from what was measured."""
    unknown = [signature for signature in candidates if signature not in table.entries]
    scores = []
    for signature, found in zip(unknown, table.estimates(unknown), strict=True):
        if found is None:
            scores.append(np.inf)
            continue
        half = (found.high - found.low) / 2
        sure = half <= max(_SURE_US, _SURE * found.us)
        scores.append(0.0 if sure else half * table.distance(signature))
    ranked = [unknown[row] for row in np.argsort(-np.array(scores), kind="stable") if scores[row] > 0]
    first: list[Signature] = []
    rest: list[Signature] = []
    families: dict[object, int] = {}
    for signature in ranked:
        families[signature.family] = families.get(signature.family, 0) + 1
        (first if families[signature.family] <= _ALIKE else rest).append(signature)
    return [*first, *rest][:_PIECE]
