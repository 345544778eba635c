"""A metric as a sum of small tables, exact for every policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from automc.costs.signals import Chosen, Signal, both, holds, parts_of

@dataclass(frozen=True)
class Factor:
    """What a sum gains from a few axes where something holds.

    Attributes:
        when: where that is; 1 for always.
        axes: the axes (K,), ascending, none of them twice.
        table: (O_1, ..., O_K) what it adds, for the options that are looked at.
    """

    when: Signal | int
    axes: tuple[int, ...]
    table: np.ndarray


def combinations(full: np.ndarray, axes: Sequence[int], options: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the policies (O_1 ... O_K, A) with some axes at all combinations of options, the others at their last.

    Args:
        full: (A,) the last options.
        axes: those axes.
        options: for each axis of the space, the numbers of its options that are looked at.
    """
    grid = np.meshgrid(*(options[axis] for axis in axes), indexing="ij")
    policies = np.repeat(full[None], grid[0].size if axes else 1, axis=0)
    for axis, numbers in zip(axes, grid, strict=True):
        policies[:, axis] = numbers.ravel()
    return policies


class Factors:
    """A metric of every policy: a constant and the sum of some tables' entries.

    Args:
        factors: these; what always holds together, and whose axes another has too, becomes one.
        options: for each axis, the numbers of its options that the tables have, ascending.
        constant: what is added.
    """

    def __init__(self, factors: Iterable[Factor], options: Sequence[np.ndarray], constant: float) -> None:
        self.options, self.constant = options, constant
        alike: dict[Signal | int, dict[tuple[int, ...], np.ndarray]] = defaultdict(dict)
        for factor in factors:
            each = self._simple(factor)
            if each.when == 0 or not each.table.any():
                continue
            if each.when == 1 and not each.axes:
                self.constant += float(each.table)
            else:
                known = alike[each.when]
                known[each.axes] = known.get(each.axes, 0.0) + each.table
        self.factors = [
            Factor(when, axes, table) for when, tables in alike.items() for axes, table in merged(tables).items()
        ]

    @cached_property
    def _positions(self) -> list[np.ndarray]:
        """For each axis, where its options lie among those that the tables have."""
        found = []
        for numbers in self.options:
            places = np.full(int(numbers.max()) + 1, len(numbers))
            places[numbers] = np.arange(len(numbers))
            found.append(places)
        return found

    def prices(self, indices: np.ndarray) -> np.ndarray:
        """Returns the metric (B,) of canonical policies (B, A), all of whose options the tables have."""
        places = [positions[indices[:, axis]] for axis, positions in enumerate(self._positions)]
        known: dict[Signal, np.ndarray] = {}
        prices = np.full(len(indices), self.constant)
        for factor in self.factors:
            amounts = factor.table[tuple(places[axis] for axis in factor.axes)]
            prices += np.where(holds(factor.when, indices, known), amounts, 0.0)
        return prices

    def _simple(self, factor: Factor) -> Factor:
        """Returns the same factor with what holds for options of its own axes in its table."""
        parts, axes, table = parts_of(factor.when), factor.axes, factor.table
        if len(parts) == 1 and not axes and isinstance(part := next(iter(parts)), Chosen):
            axes, table = (part.axis,), np.broadcast_to(table, len(self.options[part.axis]))
        inside = [part for part in parts if isinstance(part, Chosen) and part.axis in axes]
        if not inside:
            return factor
        for part in inside:
            place = axes.index(part.axis)
            said = np.isin(self.options[part.axis], list(part.options))
            table = table * said.reshape(-1, *[1] * (len(axes) - place - 1))
        return Factor(both(parts.difference(inside)), axes, table)


def merged(tables: dict[tuple[int, ...], np.ndarray]) -> dict[tuple[int, ...], np.ndarray]:
    """Returns the same sum with tables added to one of all of their axes and more, where there is one."""
    found: dict[tuple[int, ...], np.ndarray] = {}
    for axes in sorted(tables, key=lambda each: (-len(each), each)):
        table = tables[axes]
        home = next((other for other in found if set(axes) <= set(other)), axes)
        if home == axes:
            found[axes] = table
        else:
            shape = [found[home].shape[place] if axis in axes else 1 for place, axis in enumerate(home)]
            found[home] = found[home] + table.reshape(shape)
    return found
