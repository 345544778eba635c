"""Timing whole models, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automc.devices.bench import Bench
from automc.devices.child import Feeds


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
        medians: of each pass, in their order.
        energy_uj: microjoules of one inference, median over passes; None where the machine does not say. It is what
            all packages of the processor used meanwhile, whatever else ran and the idle cores included.
    """

    us: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    runs: int
    medians: tuple[float, ...] = ()
    energy_uj: float | None = None


def time_models(
    bench: Bench,
    models: Sequence[Path],
    inputs: Sequence[Feeds],
    description: str = "Measuring models",
    runs: int = 20,
    passes: int = 15,
    powercap: str | None = None,
) -> list[Timing]:
    """Measures whole models, taking turns in every pass.

    Args:
        bench: where.
        models: ONNX files; ratios are to the first.
        inputs: for each model, arrays by input name.
        description: what the progress bar says.
        runs: timed inferences of each model in a pass.
        passes: how often each model has its turn.
        powercap: the folder of the energy counters on the device, the kernel's by default, which only root may read on
            many machines.
    """
    where = {} if powercap is None else {"powercap": powercap}
    answer = bench.run("clock", description, passes, models, inputs, runs=runs, passes=passes, **where)
    times = np.array(answer["us"])  # (models, passes, runs)
    energy = answer["uj"] or [None] * len(models)  # (models, passes)
    medians = np.median(times, axis=2)
    ratios = medians / medians[0]
    return [_timing(times[m].ravel(), ratios[m], medians[m], energy[m]) for m in range(len(models))]


def _timing(times: np.ndarray, ratios: np.ndarray, medians: np.ndarray, energy: list[float] | None) -> Timing:
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
        medians=tuple(round(float(median), 2) for median in medians),
        energy_uj=None if energy is None else round(float(np.median(energy)), 2),
    )
