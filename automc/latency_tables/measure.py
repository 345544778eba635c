"""Measuring operators for a table, and whole models for a report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from automc.errors import RuntimeFailure
from automc.latency_tables import micro
from automc.latency_tables.child import Feeds, run_child
from automc.latency_tables.device import Device
from automc.latency_tables.kernels import DEQUANTIZE, QUANTIZE
from automc.latency_tables.signature import Signature
from automc.latency_tables.table import Entry, LatencyTable, Overhead

METHOD = "ONNX Runtime profile of operators side by side in one model, fused and in the runtime's layout; midmeans"

# About as many operators in one model as a network has layers, so that caches hold what they would hold there:
# with 96 of them, predictions of a small network were 11 to 15% too high, with 12 it was 2% (benchmarks/prediction.py).
_BATCH = 12
_RUNS, _PASSES, _WARMUP = 20, 3, 5
_CHAIN = Signature.of("conv+relu", (16, 16), n=(1,), hw=(16, 16), k=(3, 3), s=(1, 1), p=(1, 1), d=(1, 1), g=(1,))
_LENGTHS = (2, 12, 24)


@dataclass(frozen=True)
class Timing:
    """Wall-clock latency of a whole model; microseconds.

    Attributes:
        us: median over all passes.
        low: first quartile.
        high: third quartile.
        ratio: median over passes of its median divided by the first model's in the same pass.
        ratio_low: first quartile of these.
        ratio_high: third quartile of these.
        runs: how many runs in all.
    """

    us: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    runs: int


def measure_entries(device: Device, signatures: Sequence[Signature]) -> dict[Signature, Entry]:
    """Measures operators on this machine, all interleaved, in a process of its own.

    Raises:
        TableError: an operator cannot be measured.
        RuntimeFailure: the runtime fails, or leaves an operator out.
    """
    wanted = sorted(set(signatures))
    if not wanted:
        return {}
    batches = [wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH)]
    with tempfile.TemporaryDirectory(prefix="automc-") as name:
        paths = []
        for number, batch in enumerate(batches):
            paths.append(Path(name) / f"operators{number}.onnx")
            paths[-1].write_bytes(micro.side_by_side(batch))
        answer, _ = run_child(
            "profile",
            f"Measuring operators ({len(wanted)})",
            len(paths) * _PASSES,
            models=[str(path) for path in paths],
            threads=device.threads,
            runs=_RUNS,
            warmup=_WARMUP,
            passes=_PASSES,
            edges=[[f"k{i}" for i, s in enumerate(batch) if s.op in (QUANTIZE, DEQUANTIZE)] for batch in batches],
        )
    entries = {}
    for batch, branches in zip(batches, answer, strict=True):
        for index, signature in enumerate(batch):
            if f"k{index}" not in branches:
                raise RuntimeFailure(f"{device.runtime} did not run operator '{signature}' as it was asked to")
            entries[signature] = _entry(branches[f"k{index}"])
    return entries


def measure_overhead(device: Device) -> Overhead:
    """Fits what a network costs beyond its operators, on chains of one operator of several lengths."""
    operator = measure_entries(device, [_CHAIN])[_CHAIN].us
    shape = (1, _CHAIN.channels[0], *_CHAIN.get("hw"))
    feeds = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    with tempfile.TemporaryDirectory(prefix="automc-") as name:
        paths = []
        for length in _LENGTHS:
            paths.append(Path(name) / f"chain{length}.onnx")
            paths[-1].write_bytes(micro.chain(_CHAIN, length))
        timings = time_models(device, paths, [feeds] * len(paths), "Measuring the runtime's overhead")
    fit = np.polynomial.Polynomial.fit(_LENGTHS, [timing.us for timing in timings], deg=1).convert()
    run, each = fit.coef
    return Overhead(run=round(float(run), 3), kernel=round(float(each) - operator, 3))


def measure_table(device: Device, signatures: Sequence[Signature]) -> LatencyTable:
    """Measures a new table."""
    table = LatencyTable(device=device, overhead=measure_overhead(device), method=METHOD)
    return table.merged(measure_entries(device, signatures))


def time_models(
    device: Device,
    models: Sequence[Path],
    inputs: Sequence[Feeds],
    description: str = "Measuring models",
    runs: int = 20,
    passes: int = 15,
) -> list[Timing]:
    """Measures whole models, taking turns in every pass, in a process of its own.

    Args:
        device: gives the threads.
        models: ONNX files; ratios are to the first.
        inputs: for each model, arrays by input name.
        description: what the progress bar says.
        runs: timed inferences of each model in a pass.
        passes: how often each model has its turn.
    """
    answer, _ = run_child(
        "clock",
        description,
        passes,
        inputs,
        models=[str(path) for path in models],
        threads=device.threads,
        runs=runs,
        passes=passes,
    )
    times = np.array(answer)  # (models, passes, runs)
    medians = np.median(times, axis=2)
    ratios = medians / medians[0]
    return [_timing(times[m].ravel(), ratios[m]) for m in range(len(models))]


def _timing(times: np.ndarray, ratios: np.ndarray) -> Timing:
    low, middle, high = np.percentile(times, [25, 50, 75])
    ratio_low, ratio, ratio_high = np.percentile(ratios, [25, 50, 75])
    return Timing(
        us=round(float(middle), 2),
        low=round(float(low), 2),
        high=round(float(high), 2),
        ratio=round(float(ratio), 4),
        ratio_low=round(float(ratio_low), 4),
        ratio_high=round(float(ratio_high), 4),
        runs=times.size,
    )


def _entry(durations: Sequence[float]) -> Entry:
    low, high = np.percentile(durations, [25, 75])
    midmean = stats.trim_mean(durations, 0.25)
    return Entry(round(float(midmean), 3), round(float(low), 3), round(float(high), 3), len(durations))
