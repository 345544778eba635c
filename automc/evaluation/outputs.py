"""How far outputs are from the original's, and how far a score can be trusted."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils import _pytree as pytree


def change(original: Any, outputs: Any) -> float:
    """Returns the squared change of outputs as a share of the original's variance over examples, all tensors together.

    It tells apart networks whose scores are equal: a score counts only the examples on which outputs cross a threshold.

    Args:
        original: what the original gives: tensors of any structure, examples first.
        outputs: what another network gives for the same examples.
    """
    changed = varied = 0.0
    for before, after in zip(pytree.tree_leaves(original), pytree.tree_leaves(outputs), strict=True):
        if torch.is_tensor(before) and before.is_floating_point():
            changed += float((after - before).double().square().sum())
            varied += float((before - before.mean(0)).double().square().sum())
    return changed / max(varied, 1e-30)


def standard_error(score: float, targets: Any) -> float:
    """Returns the standard error of a score that is a mean over examples of numbers from 0 to 1, at most.

    The variance of such numbers is at most p(1 - p), which is that of right and wrong answers. 0 for a score that by
    its size is no such mean: nothing is known of it then.

    Args:
        score: the mean.
        targets: tensors of any structure, examples first.
    """
    examples = next((len(leaf) for leaf in pytree.tree_leaves(targets) if torch.is_tensor(leaf) and leaf.ndim), 0)
    return math.sqrt(score * (1 - score) / examples) if examples and 0 <= score <= 1 else 0.0
