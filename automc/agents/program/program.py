"""The policy of least expected harm that keeps all budgets, by mixed-integer programming."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from automc.agents.program import solver
from automc.agents.program.matrices import Matrices
from automc.agents.program.options import looked_at
from automc.agents.program.rows import Linear
from automc.costs import Projection

ENTRIES = 20_000
"""What a table of costs has at most; where it would have more, fewer options are looked at."""
TOGETHER = 10_000
"""What all tables over several axes have at most: HiGHS takes about a second for so many."""

_SCALE = 1e4  # HiGHS allows rows to be off by 1e-6, and stops 1e-6 from the optimum: far less here than anybody sees
_TRIES = 3  # how often a bound is tightened where what was found is over it by rounding


@dataclass(frozen=True)
class Solution:
    """What a program came to.

    Attributes:
        index: the policy as option numbers (A,); it keeps all budgets.
        objective: its harm, the sum over axes.
        bound: no policy of the options that were looked at has less; None where nothing is known.
        gap: how much of the objective lies above the bound, at least 0; None where nothing is known.
        seconds: that the solver and what follows took; writing the program is not counted.
        status: ``optimal`` within the gap that was allowed, stopped at its ``time`` with the best found so far, or
            ``projected``: nothing was found in time, so this is the better of the uniform policies.
        exact: whether all options of all axes were looked at; a gap is of those that were.
    """

    index: np.ndarray
    objective: float
    bound: float | None
    gap: float | None
    seconds: float
    status: Literal["optimal", "time", "projected"]
    exact: bool


class Program:
    """Chooses one option an axis, so that harms add up to the least and every budget is kept.

        minimize    sum_a sum_o harm[a, o] x[a, o]
        subject to  sum_o x[a, o] = 1 for each axis a,   price_m(x) <= limit_m for each budget m

    with x binary, as HAWQ-V3 (Yao et al., ICML 2021) chooses bits. Prices are the cost model's own: sums of tables,
    each over what an operator depends on (`Factors`), with what runs in int8 and which blocks stay as conditions. So
    the optimum is that of the cost model, whose latencies need not be sums over layers. What is written once is solved
    for as many harms as one likes. Who has more time than the solver needs gets the same policy each time.

    Args:
        projection: the budgets, and the cost model that prices policies.
        entries: what each table has at most.
        together: what all tables over several axes have at most.

    Attributes:
        options: for each axis, the numbers of its options that are looked at.
        exact: whether these are all.
        shape: how many rows and columns it has.

    Raises:
        TableError: the price of an operator is not known.
        ValueError: there is a budget of memory, which is no sum.
    """

    def __init__(self, projection: Projection, entries: int = ENTRIES, together: int = TOGETHER) -> None:
        self._projection, model = projection, projection.model
        self._space, limits = model.space, projection.limits
        self._starts = np.stack([projection.project(self._space.full, bits) for bits in (True, False)])
        everything = [np.arange(size) for size in self._space.sizes]
        self.options = looked_at(model, limits, self._starts, entries, together) if limits else everything
        self.exact = all(len(some) == len(every) for some, every in zip(self.options, everything, strict=True))
        matrices = Matrices(self._space, self.options)
        sums = matrices.sums({metric: model.factors(metric, self.options) for metric in limits})
        self._choices = matrices.choices
        structure = matrices.rows.count
        for metric, limit in limits.items():
            total, scale = sums[metric], _SCALE / limit
            matrices.rows.at_most(
                Linear(total.columns, total.coefficients * scale, total.constant * scale), limit * scale
            )
        self._matrix, self._lower, self._upper = matrices.rows.matrix()
        self._budgets = self._matrix[structure:]
        self.shape = self._matrix.shape
        self._integral = np.zeros(matrices.rows.columns, dtype=np.uint8)
        self._integral[np.concatenate(self._choices)] = 1
        counts = np.diff(self._matrix[:structure].tocsc().indptr)
        # options that nothing but budgets and their axis speak of
        self._apart = [axis for axis, columns in enumerate(self._choices) if (counts[columns] == 1).all()]
        self._prices = {axis: self._budgets[:, self._choices[axis]].toarray() for axis in self._apart}

    def solve(self, harms: Sequence[np.ndarray], seconds: float = 10.0, gap: float = 1e-4) -> Solution:
        """Returns the policy of least harm.

        Args:
            harms: for each axis, (O,) what each of its options adds to the objective.
            seconds: for which the solver may look.
            gap: share of the objective that it may be away from the optimum.
        """
        began = time.perf_counter()
        start = self._starts[int(self._harms(harms, self._starts).argmin())]
        offset = sum(float(each[-1]) for each in harms)
        costs = np.zeros(len(self._integral))
        for columns, numbers, each in zip(self._choices, self.options, harms, strict=True):
            costs[columns] = each[numbers] - each[-1]
        scale = _SCALE / (abs(self._harm(harms, start) - offset) or np.abs(costs).max() or 1.0)
        found, bound, optimal = self._search(costs * scale, seconds, gap)
        index = start if found is None else found if self._fits(found) else self._projection.project(found)
        index = self._filled(index, harms)
        objective, least = self._harm(harms, index), None if bound is None else bound / scale + offset
        return Solution(
            index,
            objective,
            least,
            None if least is None else max(objective - least, 0.0) / max(abs(objective), 1e-12),
            time.perf_counter() - began,
            "projected" if found is None else "optimal" if optimal else "time",
            self.exact,
        )

    def _search(self, costs: np.ndarray, seconds: float, gap: float) -> tuple[np.ndarray | None, float | None, bool]:
        """Returns the best policy (A,) that was found, the bound of the first try, and whether that was the end of it.

        A policy that is over a budget by rounding is looked for once more, with that budget tightened by as much.
        """
        used, upper, began = self._undominated(costs), self._upper.copy(), time.perf_counter()
        matrix, integral = self._matrix[:, used], self._integral[used]
        index, bound, optimal = None, None, False
        for _ in range(_TRIES):
            left = max(seconds - (time.perf_counter() - began), 0.0)
            found = solver.solve(costs[used], integral, matrix, self._lower, upper, left, gap)
            if found.x is None:
                return index, bound, False
            values = np.zeros(len(costs))
            values[used] = found.x
            index = self._read(values)
            if bound is None and np.isfinite(found.mip_dual_bound):
                bound = float(found.mip_dual_bound)
            optimal = bool(found.success)
            over = self._over(index)
            if not over.any():
                break
            upper[len(upper) - len(over) :] -= 2 * over
        return index, bound, optimal

    def _undominated(self, costs: np.ndarray) -> np.ndarray:
        """Returns the columns, but for options that another of their axis is better than, or as good as, in all."""
        used = np.ones(len(costs), dtype=bool)
        for axis in self._apart:
            columns = self._choices[axis]
            values = np.vstack([self._prices[axis], costs[columns]])
            better = (values[:, None, :] <= values[:, :, None]).all(axis=0)  # the second than the first
            alike = better & better.T
            used[columns] = ~(better & (~alike | np.tri(len(columns), k=-1, dtype=bool))).any(axis=1)
        return np.flatnonzero(used)

    def _read(self, values: np.ndarray) -> np.ndarray:
        """Returns the policy (A,) that columns of these values stand for."""
        index = [
            numbers[values[columns].argmax()] for numbers, columns in zip(self.options, self._choices, strict=True)
        ]
        return self._space.canonical(np.array(index))

    def _fits(self, index: np.ndarray) -> bool:
        return bool(self._projection.fits(index[None])[0])

    def _over(self, index: np.ndarray) -> np.ndarray:
        """Returns (M,) by how much a policy is over each budget, in units of its row."""
        prices = self._projection.model.prices(index[None], self._projection.limits)
        shares = [prices[metric][0] / limit - 1 for metric, limit in self._projection.limits.items()]
        return _SCALE * np.maximum(shares, 0.0)

    def _filled(self, index: np.ndarray, harms: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the policy after single changes, each the one that lowers harm most of those that fit."""
        while True:
            candidates = np.repeat(index[None], int(self._space.sizes.sum()), axis=0)
            axes = np.repeat(np.arange(len(index)), self._space.sizes)
            candidates[np.arange(len(axes)), axes] = np.concatenate([np.arange(size) for size in self._space.sizes])
            candidates = self._space.canonical(candidates)
            gains = self._harm(harms, index) - self._harms(harms, candidates)
            candidates = candidates[np.argsort(-gains, kind="stable")[: int((gains > 0).sum())]]
            fits = self._projection.fits(candidates)
            if not fits.any():
                return index
            index = candidates[fits.argmax()]

    def _harm(self, harms: Sequence[np.ndarray], index: np.ndarray) -> float:
        return float(self._harms(harms, index[None])[0])

    def _harms(self, harms: Sequence[np.ndarray], indices: np.ndarray) -> np.ndarray:
        return np.asarray(sum(each[indices[:, axis]] for axis, each in enumerate(harms)))
