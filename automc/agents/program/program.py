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
from automc.costs.reach import cheapest, refusal

ENTRIES = 20_000
"""What a table of costs has at most; where it would have more, fewer options are looked at."""
TOGETHER = 40_000
"""What all tables over several axes have at most: more of them take HiGHS minutes."""

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
        seconds: that it took.
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

    with x binary, as HAWQ-V3 (Yao et al., ICML 2021) chooses bits. Prices are the cost model's own: sums of tables, each
    over what an operator depends on (`Factors`), with what runs in int8 and which blocks stay as conditions. So the
    optimum is that of the cost model, whose latencies need not be sums over layers. What is written once is solved for
    as many harms as one likes.

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

        Raises:
            BudgetError: no policy of the options that are looked at keeps the budgets; it names the smallest.
        """
        began = time.perf_counter()
        scores = [self._harm(harms, index) for index in self._starts]
        start, offset = self._starts[int(np.argmin(scores))], sum(float(each[-1]) for each in harms)
        costs = np.zeros(len(self._integral))
        for columns, numbers, each in zip(self._choices, self.options, harms, strict=True):
            costs[columns] = each[numbers] - each[-1]
        used = self._undominated(costs)
        scale = _SCALE / (abs(min(scores) - offset) or np.abs(costs).max() or 1.0)
        upper, index, bound, status = self._upper.copy(), None, None, 1
        for _ in range(_TRIES):
            left = max(seconds - (time.perf_counter() - began), 0.0)
            matrix, whole = self._matrix[:, used], self._integral[used]
            found = solver.solve(costs[used] * scale, whole, matrix, self._lower, upper, left, gap)
            status = found.status
            if status == solver.INFEASIBLE:
                raise self._infeasible()
            if found.x is None:
                break
            index = self._read(found.x, used)
            bound = found.mip_dual_bound / scale + offset if bound is None else bound
            if self._projection.fits(index[None])[0]:
                break
            over = self._over(index)
            upper[len(upper) - len(over) :] -= 2 * over
        if index is None:
            index, bound = start, None
        elif not self._projection.fits(index[None])[0]:
            index = self._projection.project(index)
        index = self._filled(index, harms)
        objective = self._harm(harms, index)
        away = None if bound is None else max(objective - bound, 0.0) / max(abs(objective), 1e-12)
        said: Literal["optimal", "time", "projected"] = "optimal" if status == 0 else "time"
        took = time.perf_counter() - began
        return Solution(index, objective, bound, away, took, said if bound is not None else "projected", self.exact)

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

    def _read(self, x: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Returns the policy (A,) of the columns' values."""
        values = np.zeros(len(self._integral))
        values[used] = x
        index = np.array([n[values[c].argmax()] for n, c in zip(self.options, self._choices, strict=True)])
        return self._space.canonical(index)

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

    def _infeasible(self) -> Exception:
        model, budgets = self._projection.model, self._projection.budgets
        return refusal(model, budgets[0], cheapest(model, budgets[0].metric))
