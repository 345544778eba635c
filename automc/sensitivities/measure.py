"""Measuring sensitivities: one axis changed at a time."""

from __future__ import annotations

import numpy as np

from automc import progress
from automc.evaluation import Evaluator, change
from automc.search_spaces import SearchSpace
from automc.sensitivities.sensitivities import Sensitivities


def measure(evaluator: Evaluator, space: SearchSpace, options: int = 4) -> Sensitivities:
    """Returns how much each option of each axis hurts by itself.

    Args:
        evaluator: builds and runs networks; how much it looks at is how much is looked at here.
        space: whose axes.
        options: how many options of each axis are measured at most; others lie between them.
    """
    original, harms, known = evaluator.outputs(evaluator.model), [], []
    with progress.bar("Measuring sensitivities", len(space.axes)) as line:
        for number, axis in enumerate(space.axes):
            size = len(axis.options)
            places = np.unique(np.linspace(0, size - 1, min(size, options + 1)).round().astype(int))
            found = np.zeros(len(places))
            for place, option in enumerate(places[:-1]):
                index = space.full
                index[number] = option
                found[place] = change(original, evaluator.outputs(evaluator.build(space.decode(index))))
            harms.append(np.interp(np.arange(size), places, found))
            known.append(np.isin(np.arange(size), places))
            line.show(f"Measuring sensitivities: {axis.name}", number + 1)
    return Sensitivities(space, tuple(harms), tuple(known))
