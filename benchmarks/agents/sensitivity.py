"""How well sensitivities that are cheap rank as those that were measured at every quarter, with more images.

``python benchmarks/agents/sensitivity.py [PROBLEM] --out DIR``, ``macs56`` by default. Of all widths: each group is
measured at a quarter, half and three quarters of its channels, on 1,000 search images, 512 for recovery. Beside that,
at the same widths: the default (one measurement a group, at a half, on 256 and 256; the curve gives the others) and the
selector's estimate alone, without any measurement. Spearman's rank correlation over all points, and over the points
that the default did not measure; seconds. No test set is read.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ground import Ground
from scipy.stats import spearmanr

from automc.evaluation import Fidelity
from automc.sensitivities import Effort, measure
from automc.sensitivities.curves import curves

POINTS = 3


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", nargs="?", default="macs56")
    parser.add_argument("--out", type=Path, required=True)
    ground = Ground((arguments := parser.parse_args(words)).problem, arguments.out)
    full = ground.evaluator_at(0, Fidelity(search_images=1000, calibration_images=512))
    start = time.perf_counter()
    dear = measure(full, ground.space, POINTS)
    between = time.perf_counter()
    cheap = measure(ground.evaluator_at(0, Effort().fidelity(full.precision)), ground.space)
    end = time.perf_counter()
    rows = []
    for number in np.flatnonzero(ground.space.is_width):
        shape = curves(full.compressor, ground.space.axes[number], 1)[0].shape
        for option in np.flatnonzero(dear.measured[number][:-1]):
            known = bool(cheap.measured[number][option])
            rows.append((dear.harms[number][option], cheap.harms[number][option], shape[option], known))
    measured, default, estimate, known = (np.array(column) for column in zip(*rows, strict=True))
    answer = {
        "points": len(rows),
        "seconds, measured at three widths": round(between - start, 1),
        "seconds, default": round(end - between, 1),
        "default, all points": round(float(spearmanr(default, measured)[0]), 3),
        "default, where it did not measure": round(float(spearmanr(default[~known], measured[~known])[0]), 3),
        "estimate alone, all points": round(float(spearmanr(estimate, measured)[0]), 3),
    }
    print(json.dumps(answer, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
