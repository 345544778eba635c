"""Measuring operators, side by side, and what networks cost beyond them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from automc.devices.bench import Bench
from automc.devices.timing import time_models
from automc.errors import RuntimeFailure
from automc.latency_tables import micro
from automc.latency_tables.overhead import Overhead
from automc.latency_tables.signature import DEQUANTIZE, INT8, QUANTIZE, Signature
from automc.latency_tables.table import Entry, LatencyTable

METHOD = (
    "ONNX Runtime profile of operators side by side in one model, fused and in the runtime's layout; means of steady "
    "passes, told by one operator that is in every model"
)

# About as many operators in one model as a network has layers, so that caches hold what they would hold there:
# with 96 of them, predictions of a small network were 11 to 15% too high, with 12 it was 2%.
_BATCH = 12
_RUNS, _PASSES, _WARMUP = 20, 3, 5
_DRIFT = 0.1  # by which share of its usual time the reference may differ in a steady pass
_ENOUGH, _REPEATS = 2, 2  # steady passes, and how often more are tried for
_TICK, _FAR = 1.5, 0.1  # microseconds, and share of the median, beyond which a run was disturbed
_CHAINS = tuple(
    Signature.of("conv+relu", (width, width), n=(1,), hw=(size, size), k=(3, 3), s=(1, 1), p=(1, 1), d=(1, 1), g=(1,))
    for width, size in ((16, 32), (32, 16), (64, 8))
)
_LENGTHS = (2, 12, 24)
REFERENCE = _CHAINS[1]
"""What is measured again and again, to notice that the device changed its speed."""


@dataclass(frozen=True)
class Measured:
    """What a device answered.

    Attributes:
        entries: the operators.
        reference_us: the usual latency of the reference operator, microseconds.
        repeatability: RMS of the relative difference between two measurements of one operator, each beside others,
            over the square root of 2.
    """

    entries: dict[Signature, Entry]
    reference_us: float
    repeatability: float


def measure_entries(
    bench: Bench, signatures: Sequence[Signature], reference_us: float = 0.0, description: str = "Measuring operators"
) -> Measured:
    """Measures operators, all interleaved.

    Every model also has the reference operator. Where a pass found it slower or faster than usual, the device was
    disturbed: models with less than two steady passes are measured again, and what is disturbed even then is marked,
    and divided by how much slower the reference was.
    Some operators are measured twice, beside different others: how much that differs says how far to trust the rest.

    Args:
        bench: where.
        signatures: the operators.
        reference_us: the usual latency of the reference operator; 0 for what it is now.
        description: what the progress bar says.

    Raises:
        TableError: an operator cannot be measured.
        RuntimeFailure: the runtime fails, leaves an operator out, or answers what is no time.
    """
    wanted = sorted(set(signatures))
    # neighbours in the table are alike: mixed, the memory that a model takes is about what a network takes
    random.Random(0).shuffle(wanted)
    batches = [wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH)]
    batches.append(wanted[:: max(len(wanted) // _BATCH, 1)][:_BATCH])  # again, beside others
    measured = _profile(bench, batches, description)
    usual = reference_us or float(np.median([p.reference for passes in measured for p in passes]))
    for _ in range(_REPEATS):
        disturbed = [n for n, passes in enumerate(measured) if len(_steady(passes, usual)) < _ENOUGH]
        if not disturbed:
            break
        again = _profile(bench, [batches[n] for n in disturbed], "The device changed its speed; measuring again")
        for number, passes in zip(disturbed, again, strict=True):
            measured[number] += passes
    entries: dict[Signature, Entry] = {}
    differences = []
    for batch, passes in zip(batches, measured, strict=True):
        steady = _steady(passes, usual)
        # what is never steady is at least put into proportion
        chosen = [(p, 1.0) for p in steady] or [(p, usual / p.reference) for p in passes]
        for index, signature in enumerate(batch):
            found = [(branch, scale) for p, scale in chosen if (branch := p.branches.get(f"k{index}"))]
            if not found:
                raise RuntimeFailure(f"{bench.device.runtime} did not run operator '{signature}' as it was asked to")
            us = np.concatenate([branch.us * scale for branch, scale in found])
            if not np.isfinite(us).all():
                raise RuntimeFailure(f"{bench.device.name} answered no time for operator '{signature}'")
            entry = _entry(us, max(branch.nodes for branch, _ in found), len(steady) < _ENOUGH)
            first = entries.setdefault(signature, entry)
            if first is not entry and first.us + entry.us > 0:
                differences.append((first.us - entry.us) / (first.us + entry.us) * 2)
    return Measured(entries, usual, float(np.sqrt(np.mean(np.square(differences)) / 2)) if differences else 0.0)


@dataclass(frozen=True)
class _Branch:
    """Microseconds of each run of an operator, and how many nodes the runtime made of it."""

    us: np.ndarray
    nodes: int


@dataclass(frozen=True)
class _Pass:
    """What one pass measured of a model: its operators, and how long the reference took."""

    branches: dict[str, _Branch]
    reference: float


def _steady(passes: Sequence[_Pass], usual: float) -> list[_Pass]:
    return [p for p in passes if abs(p.reference / usual - 1) <= _DRIFT]


def _profile(bench: Bench, batches: Sequence[Sequence[Signature]], description: str) -> list[list[_Pass]]:
    edges = [{f"k{i}" for i, s in enumerate(batch) if s.op in (QUANTIZE, DEQUANTIZE)} for batch in batches]
    with tempfile.TemporaryDirectory(prefix="automc-") as name:
        paths = []
        for number, batch in enumerate(batches):
            paths.append(Path(name) / f"operators{number}.onnx")
            paths[-1].write_bytes(micro.side_by_side([*batch, REFERENCE]))
        answer = bench.run(
            "profile",
            description,
            len(paths) * _PASSES,
            paths,
            runs=_RUNS,
            warmup=_WARMUP,
            passes=_PASSES,
            graphs=[number for number, changes in enumerate(edges) if changes],
        )
    measured = []
    for batch, changes, found in zip(batches, edges, answer, strict=True):
        owners = micro.owners(found["graph"], changes) if changes else {}
        measured.append([_pass(nodes, owners, f"k{len(batch)}") for nodes in found["passes"]])
    return measured


def _pass(nodes: Mapping[str, Sequence[float]], owners: Mapping[str, str], reference: str) -> _Pass:
    grouped: dict[str, list[Sequence[float]]] = {}
    for name, us in nodes.items():
        branch = micro.branch_of(name) or owners.get(name)
        if branch is not None:
            grouped.setdefault(branch, []).append(us)
    branches = {name: _Branch(np.sum(parts, axis=0, dtype=float), len(parts)) for name, parts in grouped.items()}
    return _Pass(branches, _undisturbed_mean(branches[reference].us))


def new_table(bench: Bench) -> LatencyTable:
    """Returns a table without operators: what a network costs beyond them, fitted on chains of one operator each.

    The runtime's profile overstates an operator, more so a short one: the chains have operators of several sizes, and
    what is over is the mean of theirs.
    """
    measured = measure_entries(
        bench, [*_CHAINS, *map(_in_int8, _CHAINS)], description="Measuring the runtime's profile"
    )
    entries, links = measured.entries, list(measured.entries)
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
    overhead = Overhead(
        run=round(float(np.mean([run for run, _ in fits])), 3),
        kernel=round(float(np.mean([over[link] for link in _CHAINS])), 3),
        int8=round(float(np.mean([over[_in_int8(link)] for link in _CHAINS])), 3),
    )
    return LatencyTable(bench.device, overhead, method=METHOD, reference_us=round(measured.reference_us, 3))


def _in_int8(signature: Signature) -> Signature:
    return replace(signature, op=INT8 + signature.op.split("+")[0])


def _entry(durations: np.ndarray, kernels: int, drifted: bool) -> Entry:
    low, high = np.percentile(durations, [25, 75])
    mean = _undisturbed_mean(durations)
    return Entry(round(mean, 3), round(float(low), 3), round(float(high), 3), len(durations), kernels, drifted)


def _undisturbed_mean(durations: np.ndarray) -> float:
    # the profiler's clock ticks in whole microseconds: what is left out is told by distance, since a median, or a
    # mean of the middle half, would keep the grain
    middle = np.median(durations)
    return float(np.mean(durations[np.abs(durations - middle) <= _TICK + _FAR * middle]))
