"""Which operators of a network the runtime runs as one.

The rules are those of ONNX Runtime's CPU graph optimizations: BatchNorm folds into the convolution before it, an
addition and then an activation fuse into a convolution, an activation into a linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from automc.graph.ops import OUTSIDE, Op

FREE = frozenset(
    "view _unsafe_view reshape t unsqueeze squeeze expand detach alias dropout clone contiguous flatten "
    "lift_fresh empty _to_copy to".split()
)
"""Operators that move no data at inference."""

_RESHAPES = frozenset("view _unsafe_view reshape flatten".split())
BATCH_NORMS = frozenset(
    "native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm _batch_norm_no_update".split()
)
_CONV_FUSES = frozenset("relu sigmoid tanh hardtanh leaky_relu hardsigmoid hardswish".split())
_SUM_FUSES = _CONV_FUSES - {"hardtanh", "leaky_relu"}
_LINEAR_FUSES = frozenset("relu sigmoid tanh leaky_relu hardsigmoid elu".split())


_LINEAR = frozenset({"addmm", "mm"})

Kernel = tuple[int, ...]
"""Positions of operators that run as one, the one whose shapes count first."""


def users_of(ops: Sequence[Op]) -> dict[int, list[int]]:
    """Returns, for each operator whose result is read, the operators that read it."""
    users: dict[int, list[int]] = {}
    for index, op in enumerate(ops):
        for source in op.sources:
            if source != OUTSIDE:
                users.setdefault(source, []).append(index)
    return users


def is_linear(ops: Sequence[Op], index: int) -> bool:
    """Says whether an operator is a linear layer's: a product with a weight."""
    weight = ops[index].sources[-1] if ops[index].kind in _LINEAR else OUTSIDE
    return weight != OUTSIDE and ops[weight].kind == "t" and ops[weight].sources[0] == OUTSIDE


def find_paddings(ops: Sequence[Op]) -> frozenset[int]:
    """Returns the operators that put zeros around what only a convolution reads, which pads by itself."""
    users = users_of(ops)
    return frozenset(
        index
        for index, op in enumerate(ops)
        if op.kind == "constant_pad_nd"
        and not op.attribute("value")
        and len(op.attribute("pad")) <= 2 * (len(op.output) - 2)
        and min(op.attribute("pad")) >= 0
        and [(ops[user].kind, ops[user].sources[0]) for user in users.get(index, [])] == [("convolution", index)]
    )


def only_user(users: Mapping[int, list[int]], index: int) -> int | None:
    """Returns the one operator that reads a result; None where there is none or are several."""
    readers = users.get(index, [])
    return readers[0] if len(readers) == 1 else None


def find_kernels(ops: Sequence[Op]) -> list[Kernel]:
    """Returns the kernels of a network, in execution order."""
    users, paddings = users_of(ops), find_paddings(ops)
    taken: set[int] = set()
    kernels: dict[int, Kernel] = {}
    for index, op in enumerate(ops):
        if index in taken or is_free(op) or index in paddings:
            continue
        if op.kind != "convolution" and not is_linear(ops, index):
            kernels[index] = (index,)
            continue
        chain, added, last = [index], False, index
        fuses = _CONV_FUSES if op.kind == "convolution" else _LINEAR_FUSES
        while len(users.get(last, [])) == 1:
            user = users[last][0]
            kind = ops[user].kind
            if kind in BATCH_NORMS and len(chain) == 1 and op.kind == "convolution":
                pass
            elif kind == "add" and op.kind == "convolution" and not added and user not in taken:
                # the first of two convolutions takes the addition, as in the runtime
                if ops[user].inputs[0] != ops[user].inputs[-1] or len(ops[user].inputs) != 2:
                    break
                if last != ops[user].sources[0] and _ends_in_convolution(ops, ops[user].sources[0], users):
                    break
                added = True
                fuses = _SUM_FUSES
            elif kind in fuses:
                chain.append(user)
                break
            else:
                break
            chain.append(user)
            last = user
        taken.update(chain)
        kernels[index] = tuple(chain)
    # an operator found before the convolution that takes it
    fused = {i for kernel in kernels.values() for i in kernel[1:]}
    return [kernel for index, kernel in sorted(kernels.items()) if index not in fused]


def find_reshapes(ops: Sequence[Op]) -> list[int]:
    """Returns the views that the runtime runs as a reshape: of several in a row the last, of equal ones the first."""
    users = users_of(ops)

    def reshapes(index: int) -> bool:
        op = ops[index]
        return op.runs and op.kind in _RESHAPES and _sizes(op.inputs[0]) != _sizes(op.output)

    found: dict[tuple[int, tuple[int, ...]], int] = {}
    for index in filter(reshapes, range(len(ops))):
        after = users.get(index, [])
        if not (len(after) == 1 and ops[after[0]].kind in _RESHAPES):
            found.setdefault((ops[index].sources[0], ops[index].output), index)
    return sorted(found.values())


def joined_sums(ops: Sequence[Op], kernels: Sequence[Kernel]) -> dict[int, tuple[int, int]]:
    """Returns, for each addition in a kernel, the convolution that takes it and what is added to its result."""
    joined = {}
    for kernel in kernels:
        for op in kernel[1:]:
            if ops[op].kind == "add":
                joined[op] = (kernel[0], next(source for source in ops[op].sources if source not in kernel))
    return joined


def is_free(op: Op) -> bool:
    """Says whether an operator moves no data: views, slices that leave nothing out, padding that adds nothing.

    What the exported network does not have is free too.
    """
    return op.kind in FREE or not op.runs or (op.kind in {"slice", "constant_pad_nd"} and op.inputs[0] == op.output)


def _sizes(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


def _ends_in_convolution(ops: Sequence[Op], index: int, users: dict[int, list[int]]) -> bool:
    while index != OUTSIDE and ops[index].kind in BATCH_NORMS and len(users[index]) == 1:
        index = ops[index].sources[0]
    return index != OUTSIDE and ops[index].kind == "convolution" and len(users[index]) == 1
