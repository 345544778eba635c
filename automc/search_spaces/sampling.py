"""Random policies over the whole range of costs."""

from __future__ import annotations

import numpy as np

from automc.search_spaces.space import SearchSpace

_ROUNDS = 20  # draws before a space is taken to have no more policies
_NEAR = 6.0  # how close each width is to its policy's level: the sum of a beta distribution's parameters


def spread(space: SearchSpace, generator: np.random.Generator, count: int) -> np.ndarray:
    """Returns (count, A) option numbers of different random policies, from the cheapest to the original's neighbours.

    Policies that are uniform on every axis all cost about the same where there are many axes. Here each has a level t
    of its own, uniform and stratified. Depth d and width w share it, one more and the other less, such that d·w = t,
    about what is left of the operations where groups lie inside blocks; blocks stay with probability d, and widths are
    drawn around w. The share of layers with fewer bits is uniform and stratified too, whatever the level. The policy
    that changes nothing is none of them; where the space has fewer policies, there are fewer.

    Args:
        space: the space.
        generator: where all randomness comes from.
        count: how many.
    """
    found: dict[bytes, np.ndarray] = {}
    for _ in range(_ROUNDS):
        for index in _draw(space, generator, count):
            if (index != space.full).any():
                found.setdefault(index.tobytes(), index)
        if len(found) >= count:
            break
    return np.array(list(found.values())[:count], dtype=np.int64).reshape(-1, len(space.axes))


def _draw(space: SearchSpace, generator: np.random.Generator, count: int) -> np.ndarray:
    level, fewer = _stratified(generator, count), _stratified(generator, count)
    share = generator.random((count, 1))  # of the level, on a scale of logarithms, that depth takes
    if not space.is_width.any():
        share = np.ones_like(share)
    elif not space.is_depth.any():
        share = np.zeros_like(share)
    depth, width = level**share, level ** (1 - share)
    shape = (count, len(space.axes))
    kept = generator.random(shape) < depth
    at = generator.beta(_NEAR * width, _NEAR * (1 - width), shape)
    anything = generator.integers(0, np.maximum(space.sizes - 1, 1), shape)
    bits = np.where(generator.random(shape) < fewer, anything, space.full)
    widths = np.minimum((at * space.sizes).astype(np.int64), space.full)
    return space.canonical(np.where(space.is_depth, kept, np.where(space.is_width, widths, bits)))


def _stratified(generator: np.random.Generator, count: int) -> np.ndarray:
    """Returns (count, 1) numbers in (0, 1), one in each of as many equal parts, in random order."""
    return generator.permutation((np.arange(count) + generator.uniform(0.01, 0.99, count)) / count)[:, None]
