"""Columns and rows of a linear program, while it is being written."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csc_array

ALL = np.inf


@dataclass(frozen=True)
class Linear:
    """A linear expression: columns, what each is multiplied by, and a constant."""

    columns: np.ndarray
    coefficients: np.ndarray
    constant: float = 0.0

    @classmethod
    def one(cls, column: int) -> Linear:
        """Returns one column by itself."""
        return cls(np.array([column]), np.ones(1))

    def __add__(self, other: Linear) -> Linear:
        columns = np.concatenate([self.columns, other.columns])
        coefficients = np.concatenate([self.coefficients, other.coefficients])
        return Linear(columns, coefficients, self.constant + other.constant)

    def __neg__(self) -> Linear:
        return Linear(self.columns, -self.coefficients, -self.constant)

    def __sub__(self, other: Linear) -> Linear:
        return self + -other


@dataclass
class Rows:
    """What has been written so far.

    Attributes:
        columns: how many columns there are; each lies between 0 and 1.
        count: how many rows.
    """

    columns: int = 0
    count: int = 0
    _rows: list[np.ndarray] = field(default_factory=list)
    _columns: list[np.ndarray] = field(default_factory=list)
    _coefficients: list[np.ndarray] = field(default_factory=list)
    _lower: list[float] = field(default_factory=list)
    _upper: list[float] = field(default_factory=list)

    def add_columns(self, count: int) -> np.ndarray:
        """Returns the numbers of so many new columns."""
        self.columns += count
        return np.arange(self.columns - count, self.columns)

    def at_most(self, expression: Linear, limit: float) -> None:
        """Adds a row: the expression is at most so much."""
        self._add(expression, -ALL, limit)

    def equal(self, expression: Linear, value: float) -> None:
        """Adds a row: the expression is so much."""
        self._add(expression, value, value)

    def _add(self, expression: Linear, lower: float, upper: float) -> None:
        self._rows.append(np.full(len(expression.columns), self.count))
        self._columns.append(expression.columns)
        self._coefficients.append(expression.coefficients)
        self._lower.append(lower - expression.constant)
        self._upper.append(upper - expression.constant)
        self.count += 1

    def matrix(self) -> tuple[csc_array, np.ndarray, np.ndarray]:
        """Returns the coefficients (R, C), columns that a row has twice added up, and its bounds (R,) each."""
        places = np.concatenate(self._rows), np.concatenate(self._columns)
        matrix = csc_array((np.concatenate(self._coefficients), places), shape=(self.count, self.columns))
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix, np.array(self._lower), np.array(self._upper)
