"""Whether one network scores better than another by more than chance, both having seen the same examples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from automc.tasks import Task

RESAMPLES = 200


def ahead(task: Task, one: Any, other: Any, targets: Any, resamples: int = RESAMPLES, seed: int = 0) -> float | None:
    """Returns how often one network scores better than another on resampled examples; a tie counts half.

    The paired bootstrap (Koehn, Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004):
    examples are drawn with replacement, as many as there are and the same for both, and the task's own score compares.
    What is common to both, such as examples that are hard for all, cancels.

    Args:
        task: gives the score and its direction.
        one: a network's outputs for all examples, stacked along the first axis of each tensor.
        other: another's, for the same examples.
        targets: the examples' targets, stacked likewise.
        resamples: how often examples are drawn.
        seed: of what is drawn.

    Returns:
        The share of draws, in [0, 1]; None where outputs or targets are not one row an example, so that there is
        nothing to draw.
    """
    leaves = [leaf for part in (one, other, targets) for leaf in pytree.tree_leaves(part)]
    sizes = {len(leaf) if torch.is_tensor(leaf) and leaf.ndim else None for leaf in leaves}
    if len(sizes) != 1 or (size := sizes.pop()) is None:
        return None
    generator, won, sign = torch.Generator().manual_seed(seed), 0.0, 1 if task.higher_is_better else -1
    for _ in range(resamples):
        drawn = torch.randint(size, (size,), generator=generator)

        def score(outputs: Any, drawn: Tensor = drawn) -> float:
            taken = pytree.tree_map_only(Tensor, lambda leaf: leaf[drawn], (outputs, targets))
            return sign * float(task.score(*taken))

        first, second = score(one), score(other)
        won += 0.5 if first == second else float(first > second)
    return won / resamples
