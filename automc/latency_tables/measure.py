"""Measuring operators for a table, and whole models for a report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from automc.devices.bench import Bench
from automc.devices.timing import time_models
from automc.errors import RuntimeFailure
from automc.latency_tables import micro
from automc.latency_tables.signature import DEQUANTIZE, INT8, QUANTIZE, Signature
from automc.latency_tables.table import Entry, LatencyTable, Overhead

METHOD = "ONNX Runtime profile of operators side by side in one model, fused and in the runtime's layout; means"

# About as many operators in one model as a network has layers, so that caches hold what they would hold there:
# with 96 of them, predictions of a small network were 11 to 15% too high, with 12 it was 2% (benchmarks/prediction.py).
_BATCH = 12
_RUNS, _PASSES, _WARMUP = 20, 3, 5
_TICK, _FAR = 1.5, 0.1  # microseconds, and share of the median, beyond which a run was disturbed
_CHAINS = tuple(
    Signature.of("conv+relu", (width, width), n=(1,), hw=(size, size), k=(3, 3), s=(1, 1), p=(1, 1), d=(1, 1), g=(1,))
    for width, size in ((16, 32), (32, 16), (64, 8))
)
_LENGTHS = (2, 12, 24)


def measure_entries(bench: Bench, signatures: Sequence[Signature]) -> dict[Signature, Entry]:
    """Measures operators, all interleaved.

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
        answer = bench.run(
            "profile",
            f"Measuring operators ({len(wanted)})",
            len(paths) * _PASSES,
            paths,
            runs=_RUNS,
            warmup=_WARMUP,
            passes=_PASSES,
            edges=[[f"k{i}" for i, s in enumerate(batch) if s.op in (QUANTIZE, DEQUANTIZE)] for batch in batches],
        )
    entries = {}
    for batch, branches in zip(batches, answer, strict=True):
        for index, signature in enumerate(batch):
            if f"k{index}" not in branches:
                raise RuntimeFailure(f"{bench.device.runtime} did not run operator '{signature}' as it was asked to")
            entries[signature] = _entry(branches[f"k{index}"]["us"], branches[f"k{index}"]["nodes"])
    return entries


def measure_overhead(bench: Bench) -> Overhead:
    """Fits what a network costs beyond its operators, on chains of one operator of several lengths.

    The runtime's profile overstates an operator, more so a short one: the chains have operators of several sizes, and
    what is over is the mean of theirs.
    """
    entries = measure_entries(bench, [*_CHAINS, *map(_in_int8, _CHAINS)])
    links = list(entries)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="automc-") as name:
        paths, inputs = [], []
        for number, signature in enumerate(links):
            shape = (1, signature.channels[0], *signature.get("hw"))
            for length in _LENGTHS:
                paths.append(Path(name) / f"chain{number}-{length}.onnx")
                paths[-1].write_bytes(micro.chain(signature, length))
                inputs.append({"x": generator.standard_normal(shape).astype(np.float32)})
        us = np.array([t.us for t in time_models(bench, paths, inputs, "Measuring the runtime's overhead")])
    fits = [np.polynomial.Polynomial.fit(_LENGTHS, y, deg=1).convert().coef for y in us.reshape(len(links), -1)]
    over = {link: float(each) - entries[link].us for link, (_, each) in zip(links, fits, strict=True)}
    return Overhead(
        run=round(float(np.mean([run for run, _ in fits])), 3),
        kernel=round(float(np.mean([over[link] for link in _CHAINS])), 3),
        int8=round(float(np.mean([over[_in_int8(link)] for link in _CHAINS])), 3),
    )


def _in_int8(signature: Signature) -> Signature:
    return replace(signature, op=INT8 + signature.op.split("+")[0])


def measure_table(bench: Bench, signatures: Sequence[Signature]) -> LatencyTable:
    """Measures a new table."""
    table = LatencyTable(device=bench.device, overhead=measure_overhead(bench), method=METHOD)
    return table.merged(measure_entries(bench, signatures))


def _entry(durations: Sequence[float], kernels: int) -> Entry:
    low, middle, high = np.percentile(durations, [25, 50, 75])
    # the profiler's clock ticks in whole microseconds: what is left out is told by distance, since a median, or a
    # mean of the middle half, would keep the grain
    near = np.abs(np.asarray(durations) - middle) <= _TICK + _FAR * middle
    mean = float(np.mean(np.asarray(durations)[near]))
    return Entry(round(mean, 3), round(float(low), 3), round(float(high), 3), len(durations), kernels=kernels)
