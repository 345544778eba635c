"""Which options a program looks at, where all combinations would be too many."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from automc.costs import CostModel
from automc.costs.parts import spread

_FEW = 8  # options of a width below which bits are thinned out instead


def looked_at(
    model: CostModel, metrics: Iterable[str], kept: np.ndarray, entries: int, together: int
) -> list[np.ndarray]:
    """Returns for each axis the numbers of the options that a program looks at, ascending: all where that is possible.

    Where a table would be too large, the axis of most options in it keeps fewer, spread evenly, ends included; bits
    keep theirs as long as widths have enough.

    Args:
        model: says which axes depend on each other.
        metrics: those that there are tables of.
        kept: policies (K, A) whose options stay in any case.
        entries: what each table has at most.
        together: what all of them have at most.
    """
    space, counts = model.space, model.space.sizes.copy()
    depends = np.unique(np.concatenate([model.summands(metric).depends for metric in metrics]), axis=0)
    depends = depends[:, :] & ~space.is_depth
    scopes = {tuple(np.flatnonzero(row).tolist()) for row in depends}
    large = [scope for scope in scopes if len(scope) > 1 and not any(set(scope) < set(other) for other in scopes)]
    while large:
        sizes = [int(np.prod(counts[list(scope)])) for scope in large]
        if max(sizes) <= entries and sum(sizes) <= together:
            break
        scope = np.array(large[int(np.argmax(sizes))])
        first = space.is_width[scope] & (counts[scope] > _FEW)
        axis = scope[np.where(first | ~first.any(), counts[scope], 0).argmax()]
        if counts[axis] <= 2:
            break
        counts[axis] = max(2, int(0.9 * counts[axis]))
    return [
        np.union1d(spread(range(int(size)), int(count)), kept[:, axis])
        for axis, (size, count) in enumerate(zip(space.sizes, counts, strict=True))
    ]
