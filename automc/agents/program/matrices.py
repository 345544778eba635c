"""A space and the tables of its costs as columns and rows of a mixed-integer program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from automc.agents.program.rows import Linear, Rows
from automc.costs.factors import Factor, Factors, merged
from automc.costs.signals import All, Chosen, Signal, both, inverted, parts_of
from automc.search_spaces import SearchSpace

_NOTHING = Linear(np.zeros(0, dtype=np.int64), np.zeros(0))


class Matrices:
    """The program without its objective and its bounds.

    Each option that is looked at has a binary column, and those of an axis sum up to one; inside a block that may go
    they sum up to whether it stays. What holds under several conditions has a column between 0 and 1, at most each of
    them and at least what they leave over. A table over several axes has a column for each combination; they sum up
    to whether its factor counts, and over the other axes to at most each option's own column: the local polytope of
    Wainwright and Jordan (Foundations and Trends in Machine Learning, 2008), exact where options are binary.

    Args:
        space: the policies.
        options: for each axis, the numbers of those that are looked at.

    Attributes:
        choices: for each axis, the columns of its options.
        rows: all rows so far.
    """

    def __init__(self, space: SearchSpace, options: Sequence[np.ndarray]) -> None:
        self._space, self._options, self.rows = space, options, Rows()
        self.choices = [self.rows.add_columns(len(numbers)) for numbers in options]
        for axis, columns in enumerate(self.choices):
            whole = Linear(columns, np.ones(len(columns)))
            if (owner := space.owners[axis]) < 0:
                self.rows.equal(whole, 1)
            else:
                self.rows.equal(whole - self._kept(owner), 0)
        self._gates: dict[Signal, Linear] = {}

    def sums(self, metrics: Mapping[str, Factors]) -> dict[str, Linear]:
        """Returns metrics as linear expressions, and adds the columns and rows that these need."""
        tables: dict[Signal | int, dict[tuple[int, ...], np.ndarray]] = defaultdict(dict)
        for factors in metrics.values():
            for factor in factors.factors:
                tables[factor.when][factor.axes] = np.zeros(factor.table.shape)
        blocks = [(when, axes) for when, shapes in tables.items() for axes in merged(shapes)]
        columns = self._add_blocks([block for block in blocks if not self._is_plain(*block)])
        return {metric: self._sum(factors, columns) for metric, factors in metrics.items()}

    def _sum(self, factors: Factors, columns: Mapping[tuple[Signal | int, tuple[int, ...]], np.ndarray]) -> Linear:
        found = [Linear(_NOTHING.columns, _NOTHING.coefficients, factors.constant)]
        for factor in factors.factors:
            if self._is_plain(factor.when, factor.axes):
                found.append(self._plain(factor))
                continue
            axes = next(axes for when, axes in columns if when == factor.when and set(factor.axes) <= set(axes))
            block = columns[factor.when, axes]
            shape = [block.shape[place] if axis in factor.axes else 1 for place, axis in enumerate(axes)]
            table = np.broadcast_to(factor.table.reshape(shape), block.shape)
            found.append(Linear(block.ravel(), table.ravel()))
        return reduce(add, found)

    def _is_plain(self, when: Signal | int, axes: tuple[int, ...]) -> bool:
        """Says whether a factor is linear in the options' own columns, or in one that says when it counts."""
        if not axes:
            return True
        return len(axes) == 1 and (when == 1 or parts_of(when) == self._stays(axes[0]) != frozenset())

    def _plain(self, factor: Factor) -> Linear:
        if not factor.axes:
            when = self._expression(factor.when)
            return Linear(when.columns, when.coefficients * float(factor.table), when.constant * float(factor.table))
        axis = factor.axes[0]
        found = Linear(self.choices[axis], factor.table)
        if factor.when == 1 and (owner := self._space.owners[axis]) >= 0:  # as it is in the original, if nobody sees it
            last, kept = float(factor.table[-1]), self._kept(owner)
            found = found + Linear(kept.columns, -last * kept.coefficients, last)
        return found

    def _add_blocks(
        self, blocks: Sequence[tuple[Signal | int, tuple[int, ...]]]
    ) -> dict[tuple[Signal | int, tuple[int, ...]], np.ndarray]:
        """Adds the columns of tables over several axes, or of one that only sometimes counts; returns their numbers."""
        columns = {}
        for when, axes in blocks:
            numbers = self.rows.add_columns(int(np.prod([len(self._options[axis]) for axis in axes])))
            columns[when, axes] = numbers.reshape([len(self._options[axis]) for axis in axes])
            self.rows.equal(Linear(numbers, np.ones(len(numbers))) - self._expression(when), 0)
        for group in _exclusive(blocks):
            axes = group[0][1]
            for place, axis in enumerate(axes):
                seen = all(self._stays(axis) <= parts_of(when) for when, _ in group)
                for number in range(len(self._options[axis])):
                    inside = np.concatenate([columns[block].take(number, axis=place).ravel() for block in group])
                    chosen = self._option(axis, number, seen)
                    self.rows.at_most(Linear(inside, np.ones(len(inside))) - chosen, 0)
        return columns

    def _expression(self, signal: Signal | int) -> Linear:
        """Returns what is 1 where a signal holds, else 0."""
        if not isinstance(signal, Signal):
            return Linear(_NOTHING.columns, _NOTHING.coefficients, float(signal & 1))
        if signal not in self._gates:
            self._gates[signal] = self._gate(signal)
        return self._gates[signal]

    def _gate(self, signal: Signal) -> Linear:
        if isinstance(signal, Chosen):
            return self._taken(signal, False)
        if not isinstance(signal, All):
            return Linear(_NOTHING.columns, _NOTHING.coefficients, 1.0) - self._expression(inverted(signal))
        # an option inside a block is only taken where the block stays: nothing more needs saying of the block then
        said = {part for part in signal.parts if isinstance(part, Chosen) and self._stays(part.axis)}
        said = {part for part in said if isinstance(part, Chosen) and self._stays(part.axis) <= signal.parts}
        implied = {stays for part in said if isinstance(part, Chosen) for stays in self._stays(part.axis)}
        conditions = [self._taken(part, True) for part in said if isinstance(part, Chosen)]
        conditions += [self._expression(part) for part in signal.parts - said - implied]
        if len(conditions) == 1:
            return conditions[0]
        gate = Linear.one(int(self.rows.add_columns(1)[0]))
        for condition in conditions:
            self.rows.at_most(gate - condition, 0)
        self.rows.at_most(reduce(add, conditions) - gate, len(conditions) - 1)
        return gate

    def _taken(self, chosen: Chosen, seen: bool) -> Linear:
        """Returns whether an axis takes one of some options; ``seen``: and the block that it is in stays."""
        numbers = np.flatnonzero(np.isin(self._options[chosen.axis], list(chosen.options)))
        options = [self._option(chosen.axis, int(number), seen) for number in numbers]
        return reduce(add, options, _NOTHING)

    def _option(self, axis: int, number: int, seen: bool) -> Linear:
        """Returns whether an axis takes the option of a number; the last one too where its block has gone."""
        found = Linear.one(int(self.choices[axis][number]))
        owner = self._space.owners[axis]
        if owner < 0 or seen or number < len(self._options[axis]) - 1:
            return found
        return found + Linear(_NOTHING.columns, _NOTHING.coefficients, 1.0) - self._kept(owner)

    def _kept(self, block: int) -> Linear:
        return Linear.one(int(self.choices[block][-1]))

    def _stays(self, axis: int) -> frozenset[Signal]:
        """Returns that the block stays in which an axis lies; nothing where it lies in none."""
        owner = self._space.owners[axis]
        return frozenset([Chosen(owner, frozenset([1]), 2)]) if owner >= 0 else frozenset()


def _exclusive(
    blocks: Sequence[tuple[Signal | int, tuple[int, ...]]],
) -> list[list[tuple[Signal | int, tuple[int, ...]]]]:
    """Groups blocks of the same axes of which never two count: their columns share the options' own."""
    groups: list[list[tuple[Signal | int, tuple[int, ...]]]] = []
    for when, axes in blocks:
        for group in groups:
            if group[0][1] == axes and all(both([when, other]) == 0 for other, _ in group):
                group.append((when, axes))
                break
        else:
            groups.append([(when, axes)])
    return groups
