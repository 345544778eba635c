"""Calling HiGHS."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import csc_array

INFEASIBLE = 2
"""Its status for a program that nothing fulfils."""


def solve(
    costs: np.ndarray,
    integral: np.ndarray,
    matrix: csc_array,
    lower: np.ndarray,
    upper: np.ndarray,
    seconds: float,
    gap: float,
) -> OptimizeResult:
    """Returns what `scipy.optimize.milp` finds for columns between 0 and 1.

    Args:
        costs: (C,) of the objective.
        integral: (C,) 1 for columns that are whole numbers, else 0.
        matrix: (R, C) the rows.
        lower: (R,) their lower bounds.
        upper: (R,) their upper bounds.
        seconds: the time limit.
        gap: share of the objective that it may be away from the optimum.
    """
    with _stdout_to_stderr():
        return milp(
            costs,
            integrality=integral,
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, lower, upper),
            options={"time_limit": seconds, "mip_rel_gap": gap},
        )


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What C code prints goes to standard error: HiGHS 1.12 has a line of debugging output that no option turns off."""
    try:
        c_library, kept = ctypes.CDLL(None), os.dup(1)
    except (OSError, TypeError):  # there is no standard output, or no such library
        yield
        return
    with suppress(AttributeError, ValueError, OSError):
        sys.stdout.flush()
    c_library.fflush(None)
    try:
        with suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        c_library.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
