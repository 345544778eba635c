"""Measuring sensitivities: one axis changed at a time, at few of its options; curves give the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from automc import progress
from automc.evaluation import Evaluator, change
from automc.search_spaces import SearchSpace
from automc.sensitivities.curves import curves
from automc.sensitivities.sensitivities import Sensitivities

HOW = "squared change of the outputs over their variance, one axis at a time, after recovery; curves between"
"""What is measured: whatever was measured in another way is not taken for this."""

Harms = tuple[np.ndarray, np.ndarray]
"""Of one axis: (O,) harms, and (O,) which of them were measured."""


def measure(
    evaluator: Evaluator,
    space: SearchSpace,
    options: int = 1,
    known: Mapping[int, Harms] | None = None,
    keep: Callable[[int, np.ndarray, np.ndarray], None] = lambda axis, harms, measured: None,
) -> Sensitivities:
    """Returns how much each option of each axis hurts by itself.

    Args:
        evaluator: builds and runs networks; how much it looks at is how much is looked at here.
        space: whose axes.
        options: how many options of each curve are measured.
        known: axes that were measured before, by their numbers.
        keep: is given the number, harms and what was measured of each other axis as soon as they are there.
    """
    original, found = evaluator.outputs(evaluator.model), dict(known or {})
    with progress.bar("Measuring sensitivities", len(space.axes), len(found)) as line:
        for number, axis in enumerate(space.axes):
            if number in found:
                continue
            size = len(axis.options)
            harms, measured = np.zeros(size), np.zeros(size, dtype=bool)
            measured[-1] = True
            for curve in curves(evaluator.compressor, axis, options):
                changes = np.zeros(len(curve.points))
                for place, option in enumerate(curve.points):
                    index = space.full
                    index[number] = option
                    changes[place] = change(original, evaluator.outputs(evaluator.build(space.decode(index))))
                harms += curve.through(changes)
                measured[list(curve.points)] = True
            found[number] = harms, measured
            keep(number, harms, measured)
            line.show(f"Measuring sensitivities: {axis.name}", len(found))
    harms_of, measured_of = zip(*(found[number] for number in range(len(space.axes))), strict=True)
    return Sensitivities(space, harms_of, measured_of)
