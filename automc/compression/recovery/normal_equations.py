"""Ridge regression from sums over batches of rows."""

from __future__ import annotations

import torch
from torch import Tensor

from automc.compression.rows import gram

_FEW = 8  # rows for each input, below which a solution may be worse than the present weights on rows not seen
_RIDGE, _FEW_RIDGE = 1e-3, 0.1  # as shares of the mean diagonal; the second where rows are few
_HELD = 8  # one of so many rows is held out where they are few


class NormalEquations:
    """Finds weights W (outputs, inputs), and intercepts b, that bring rows X Wᵀ + b nearest to a target.

    Products of a batch are in float32, sums and the solution in float64. A ridge towards the present weights keeps
    directions that the rows do not determine; it does not pull at the intercept.

    Where rows do not clearly outnumber inputs, the solution follows their noise. The ridge is larger then, some rows
    are held out, and of the way from the present weights to the solution so much is gone as is best for these.

    Args:
        weight: the present weights (outputs, inputs).
        rows: how many rows there will be.
    """

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._weight, self._few = weight.double(), rows < _FEW * weight.shape[1]
        self._rows = 0
        self._gram: Tensor | None = None
        self._held: list[tuple[Tensor, Tensor]] = []

    def add(self, rows: Tensor, target: Tensor) -> None:
        """Takes rows (n, inputs) and what they are to give (n, outputs)."""
        if self._few:
            # the last ones: rows of one example are alike, and are not to be on both sides
            kept = len(rows) - len(rows) // _HELD
            self._held.append((rows[kept:].double(), target[kept:].double()))
            rows, target = rows[:kept], target[:kept]
        new = gram(rows), (rows.T @ target).double(), rows.sum(0).double(), target.sum(0).double()
        self._rows += len(rows)
        if self._gram is None:
            self._gram, self._moment, self._inputs, self._outputs = new
            return
        for total, more in zip((self._gram, self._moment, self._inputs, self._outputs), new, strict=True):
            total += more

    def solve(self, intercept: bool) -> tuple[Tensor, Tensor | None]:
        """Returns the weights, and intercepts (outputs,) where they are asked for."""
        assert self._gram is not None
        matrix, moment = self._gram, self._moment
        if intercept:  # what is left when the means are taken off is what weights can explain
            matrix = matrix - torch.outer(self._inputs, self._inputs) / self._rows
            moment = moment - torch.outer(self._inputs, self._outputs) / self._rows
        ridge = (_FEW_RIDGE if self._few else _RIDGE) * matrix.diagonal().mean().clamp(min=1e-12)
        matrix.diagonal().add_(ridge)
        moment = moment + ridge * self._weight.T
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed:  # rounding made it indefinite
            solution = torch.linalg.solve(matrix.tril() + matrix.tril(-1).T, moment).T
        else:
            solution = torch.cholesky_solve(moment, factor).T
        if self._few:
            solution = torch.lerp(self._weight, solution, self._best_step(solution, intercept))
        if not intercept:
            return solution.float(), None
        return solution.float(), ((self._outputs - solution @ self._inputs) / self._rows).float()

    def _best_step(self, solution: Tensor, intercept: bool) -> float:
        """Returns the share in [0, 1] of the way to a solution after which the error on rows held out is least."""
        rows, target = (torch.cat(parts) for parts in zip(*self._held, strict=True))
        if intercept:
            rows, target = rows - self._inputs / self._rows, target - self._outputs / self._rows
        step, error = rows @ (solution - self._weight).T, target - rows @ self._weight.T
        return float(((step * error).sum() / step.square().sum().clamp(min=1e-30)).clamp(0, 1))
