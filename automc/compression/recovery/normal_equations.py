"""Ridge regression from sums over batches of rows."""

from __future__ import annotations

import torch
from torch import Tensor

from automc.compression.rows import gram

_RIDGE = 1e-3


class NormalEquations:
    """Finds weights W (outputs, inputs), and intercepts b, that bring rows X Wᵀ + b nearest to a target.

    Products of a batch are in float32, sums and the solution in float64. A ridge towards the present weights keeps
    directions that the rows do not determine; it does not pull at the intercept.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._gram: Tensor | None = None

    def add(self, rows: Tensor, target: Tensor) -> None:
        """Takes rows (n, inputs) and what they are to give (n, outputs)."""
        new = gram(rows), (rows.T @ target).double(), rows.sum(0).double(), target.sum(0).double()
        self._rows += len(rows)
        if self._gram is None:
            self._gram, self._moment, self._inputs, self._outputs = new
            return
        for total, more in zip((self._gram, self._moment, self._inputs, self._outputs), new, strict=True):
            total += more

    def solve(self, weight: Tensor, intercept: bool) -> tuple[Tensor, Tensor | None]:
        """Returns the weights, and intercepts (outputs,) where they are asked for.

        Args:
            weight: the present weights (outputs, inputs), towards which the ridge pulls.
            intercept: whether there are intercepts.
        """
        assert self._gram is not None
        matrix, moment = self._gram, self._moment
        if intercept:  # what is left when the means are taken off is what weights can explain
            matrix = matrix - torch.outer(self._inputs, self._inputs) / self._rows
            moment = moment - torch.outer(self._inputs, self._outputs) / self._rows
        ridge = _RIDGE * matrix.diagonal().mean().clamp(min=1e-12)
        matrix.diagonal().add_(ridge)
        moment = moment + ridge * weight.T
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed:  # rounding made it indefinite
            solution = torch.linalg.solve(matrix.tril() + matrix.tril(-1).T, moment).T
        else:
            solution = torch.cholesky_solve(moment, factor).T
        if not intercept:
            return solution.float(), None
        return solution.float(), ((self._outputs - solution @ self._inputs) / self._rows).float()
