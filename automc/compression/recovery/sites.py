"""What follows each layer of a network: its BatchNorm, and the addition that its result goes into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from automc.graph import ModelGraph, Op
from automc.graph.fusion import BATCH_NORMS, is_free, only_user, users_of


@dataclass(frozen=True)
class Site:
    """Where a layer's result goes.

    Attributes:
        norm: the BatchNorm module that alone reads it, and runs nowhere else; or None.
        summed: whether what comes out then goes into an addition of two tensors of one shape and nowhere else, and
            this layer is the last to run before it.
    """

    norm: str | None = None
    summed: bool = False


def find_sites(model: nn.Module, graph: ModelGraph) -> dict[str, Site]:
    """Returns the sites of all layers that run once."""
    ops, users = graph.ops, users_of(graph.ops)
    runs = Counter(op.module for op in ops if op.kind in BATCH_NORMS)
    modules = dict(model.named_modules())
    sites: dict[str, Site] = {}
    sums: dict[int, str] = {}
    for index, op in enumerate(ops):
        if op.kind not in {"convolution", "addmm", "mm", "bmm"}:
            continue
        norm, last = None, _last_alone(ops, users, index)
        after = only_user(users, last)
        if after is not None and ops[after].kind in BATCH_NORMS:
            module = modules.get(ops[after].module)
            if not isinstance(module, nn.modules.batchnorm._BatchNorm) or module.running_mean is None:
                continue
            if runs[ops[after].module] == 1 and last == index:
                norm, last = ops[after].module, _last_alone(ops, users, after)
                after = only_user(users, last)
        sites[op.module] = Site(norm)
        if after is not None and _is_sum(ops[after]):
            sums[after] = op.module  # of two, the one that runs later
    for name in sums.values():
        sites[name] = Site(sites[name].norm, True)
    return sites


def _last_alone(ops: Sequence[Op], users: dict[int, list[int]], index: int) -> int:
    """Returns the last operator of a chain that only gives a tensor another shape."""
    after = only_user(users, index)
    while after is not None and is_free(ops[after]):
        index, after = after, only_user(users, after)
    return index


def _is_sum(op: Op) -> bool:
    return op.kind == "add" and len(op.inputs) == 2 and op.inputs[0] == op.inputs[1] and op.attribute("alpha", 1) == 1
