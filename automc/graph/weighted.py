"""Layers whose weights and inputs can be put on fewer levels in simulation, whether or not a runtime has kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from automc.graph.fusion import BATCH_NORMS, users_of
from automc.graph.ops import Op

_CALLS = {"conv2d": nn.Conv2d, "linear": nn.Linear}


@dataclass(frozen=True)
class Weighted:
    """A convolution or a linear layer that runs once and has its weights for itself.

    Attributes:
        name: its module.
        op: the operator whose result is the layer's.
        norm: the BatchNorm module that can be folded into it, or None.
    """

    name: str
    op: int
    norm: str | None


def find_weighted(model: nn.Module, ops: Sequence[Op]) -> tuple[Weighted, ...]:
    """Returns these layers in execution order: every `Conv2d`, and every `Linear` whatever the rank of its input."""
    users = users_of(ops)
    runs = Counter(op.module for op in ops if op.kind in BATCH_NORMS or _is_layer(op))
    owners = Counter(id(tensor) for module in model.modules() for tensor in module.parameters(recurse=False))

    def alone(name: str) -> bool:
        parameters = model.get_submodule(name).parameters(recurse=False)
        return runs[name] == 1 and all(owners[id(tensor)] == 1 for tensor in parameters)

    found = []
    for index, op in enumerate(ops):
        layer = model.get_submodule(op.module)
        if not _is_layer(op) or op.call is None or not isinstance(layer, _CALLS[op.call[0]]) or not alone(op.module):
            continue
        norm, readers = None, users.get(index, [])
        if len(readers) == 1 and ops[readers[0]].kind in BATCH_NORMS:
            after = ops[readers[0]].module
            if isinstance(layer, nn.Conv2d) and alone(after) and _foldable(model.get_submodule(after)):
                norm = after
        found.append(Weighted(op.module, index, norm))
    return tuple(found)


def _is_layer(op: Op) -> bool:
    return op.call is not None and op.call[0] in _CALLS


def _foldable(norm: nn.Module) -> bool:
    return isinstance(norm, nn.BatchNorm2d) and norm.affine and norm.track_running_stats
