"""Operators that run as one under some policies, so that nothing is stored between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automc.graph import Layer, Op
from automc.graph.fusion import find_kernels, is_free, joined_sums
from automc.graph.ops import OUTSIDE
from automc.graph.quantizers import Placement, find_sums


@dataclass
class Joins:
    """An operator that may run as one with the only reader of its result.

    Attributes:
        behind: that reader.
        float_of: they do while this operator is in float; `OUTSIDE` for never, as below.
        int8_of: while this one is in int8.
        sum_of: while this addition is part of a float convolution.
    """

    behind: int
    float_of: int = OUTSIDE
    int8_of: int = OUTSIDE
    sum_of: int = OUTSIDE

    def runs_as_one(self, placement: Placement) -> np.ndarray:
        """Says under which policies (B,) they run as one."""
        one = np.zeros(placement.int8.shape[1], dtype=bool)
        if self.float_of != OUTSIDE:
            one |= ~placement.int8[self.float_of]
        if self.int8_of != OUTSIDE:
            one |= placement.int8[self.int8_of]
        if self.sum_of != OUTSIDE:
            one |= placement.fused[self.sum_of]
        return one


def find_joins(ops: Sequence[Op], layers: Sequence[Layer]) -> dict[int, Joins]:
    """Returns, for each operator that its reader may run with, that reader and when.

    Args:
        ops: the network's operators.
        layers: those of its layers that can run in int8.
    """
    found: dict[int, Joins] = {}

    def chain(several: Sequence[int], **when: int) -> None:
        several = [op for op in several if not is_free(ops[op])]
        for op, behind in itertools.pairwise(several):
            joins = found.setdefault(op, Joins(behind))
            for name, of in when.items():
                setattr(joins, name, of)

    kernels = find_kernels(ops)
    joined = joined_sums(ops, kernels)
    for kernel in kernels:
        # a convolution that does not take the addition runs with what is before that
        at = next((place for place, op in enumerate(kernel) if op in joined), len(kernel))
        chain(kernel[:at], float_of=kernel[0])
        if at < len(kernel):
            chain(kernel[at - 1 :], sum_of=kernel[at])
    for layer in layers:
        chain(layer.ops, int8_of=layer.ops[0])
    for head, several in find_sums(ops).items():
        chain(several, int8_of=head)
    return found
