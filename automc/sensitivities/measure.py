"""Measuring sensitivities: one axis changed at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.utils import _pytree as pytree

from automc import progress
from automc.evaluation import Evaluator
from automc.search_spaces import SearchSpace
from automc.sensitivities.sensitivities import Sensitivities

HOW = "squared change of the outputs over their variance, one axis at a time, after recovery"
"""What is measured: whatever was measured in another way is not taken for this."""

Harms = tuple[np.ndarray, np.ndarray]
"""Of one axis: (O,) harms, and (O,) which of them were measured."""


def measure(
    evaluator: Evaluator,
    space: SearchSpace,
    options: int = 4,
    known: Mapping[int, Harms] | None = None,
    keep: Callable[[int, np.ndarray, np.ndarray], None] = lambda axis, harms, measured: None,
) -> Sensitivities:
    """Returns how much each option of each axis hurts by itself.

    Args:
        evaluator: builds and runs networks; how much it looks at is how much is looked at here.
        space: whose axes.
        options: how many options of each axis are measured at most; others lie between them.
        known: axes that were measured before, by their numbers.
        keep: is given the number, harms and what was measured of each other axis as soon as they are there.
    """
    original, found = evaluator.outputs(evaluator.model), dict(known or {})
    with progress.bar("Measuring sensitivities", len(space.axes), len(found)) as line:
        for number, axis in enumerate(space.axes):
            if number in found:
                continue
            size = len(axis.options)
            places = np.unique(np.linspace(0, size - 1, min(size, options + 1)).round().astype(int))
            changes = np.zeros(len(places))
            for place, option in enumerate(places[:-1]):
                index = space.full
                index[number] = option
                changes[place] = change(original, evaluator.outputs(evaluator.build(space.decode(index))))
            found[number] = np.interp(np.arange(size), places, changes), np.isin(np.arange(size), places)
            keep(number, *found[number])
            line.show(f"Measuring sensitivities: {axis.name}", len(found))
    harms, measured = zip(*(found[number] for number in range(len(space.axes))), strict=True)
    return Sensitivities(space, harms, measured)


def change(original: object, outputs: object) -> float:
    """Returns the squared change of outputs as a share of the original's variance, over all their tensors."""
    changed = varied = 0.0
    for before, after in zip(pytree.tree_leaves(original), pytree.tree_leaves(outputs), strict=True):
        if torch.is_tensor(before) and before.is_floating_point():
            changed += float((after.double() - before.double()).square().sum())
            varied += float((before.double() - before.double().mean(0)).square().sum())
    return changed / max(varied, 1e-30)
