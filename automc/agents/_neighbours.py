"""Policies one axis away from another."""

from __future__ import annotations

import numpy as np

from automc.search_spaces import SearchSpace


def neighbours(space: SearchSpace, index: np.ndarray, lower: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns what differs from a policy in one axis, which then has any lower, or any higher, option.

    Args:
        space: the space.
        index: option numbers (A,).
        lower: which of the two.

    Returns:
        Option numbers (B, A), axis by axis with ascending options, and (B,) the axis that differs. Axes inside a
        dropped block have none, as nothing would change.
    """
    index = space.canonical(index)
    owners = np.array(space.owners)
    gone = (owners >= 0) & (index[owners] == 0)
    counts = np.where(gone, 0, index if lower else space.full - index)
    axes = np.repeat(np.arange(len(index)), counts)
    found = np.repeat(index[None], len(axes), axis=0)
    within = np.arange(len(axes)) - np.repeat(np.cumsum(counts) - counts, counts)
    found[np.arange(len(axes)), axes] = within if lower else index[axes] + 1 + within
    return space.canonical(found), axes
