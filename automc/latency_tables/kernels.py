"""Which operators of a network the runtime runs as one, and their signatures under any widths.

The rules are those of ONNX Runtime's CPU graph optimizations: BatchNorm folds into the convolution before it, an
addition and then an activation fuse into a convolution, an activation into a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from automc.graph import ModelGraph, Op
from automc.graph.ops import OUTSIDE
from automc.latency_tables.signature import Signature

FREE = frozenset(
    "view _unsafe_view reshape t unsqueeze squeeze expand detach alias dropout clone contiguous flatten "
    "lift_fresh empty _to_copy to".split()
)
"""Operators that move no data at inference."""

_BATCH_NORMS = frozenset(
    "native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm _batch_norm_no_update".split()
)
_CONV_FUSES = frozenset("relu sigmoid tanh hardtanh leaky_relu hardsigmoid hardswish".split())
_SUM_FUSES = _CONV_FUSES - {"hardtanh", "leaky_relu"}
_LINEAR_FUSES = frozenset("relu sigmoid tanh leaky_relu hardsigmoid elu".split())
_RENAMED = {"_softmax": "softmax", "_adaptive_avg_pool2d": "adaptive_avg_pool2d", "convolution": "conv"}
_RENAMED |= dict.fromkeys(_BATCH_NORMS, "batch_norm")
_RENAMED |= {"addmm": "linear", "max_pool2d_with_indices": "max_pool2d", "constant_pad_nd": "pad"}

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Kernel:
    """Operators that run as one.

    Attributes:
        ops: their positions in the graph, the one whose shapes count first.
        names: their names in a signature, in order.
    """

    ops: tuple[int, ...]
    names: tuple[str, ...]

    def signature(self, op: Op, shapes: Shapes) -> Signature:
        """Returns the signature of the kernel when its first operator has these input and output shapes."""
        return _RULES.get(self.names[0], _elementwise)("+".join(self.names), op, shapes)


def find_kernels(graph: ModelGraph) -> list[Kernel]:
    """Returns the kernels of a network, in execution order."""
    ops = graph.ops
    users: dict[int, list[int]] = {}
    for index, op in enumerate(ops):
        for source in op.sources:
            if source != OUTSIDE:
                users.setdefault(source, []).append(index)
    taken: set[int] = set()
    kernels: dict[int, Kernel] = {}
    for index, op in enumerate(ops):
        if index in taken or _is_free(op):
            continue
        if op.kind not in {"convolution", "addmm"}:
            kernels[index] = Kernel((index,), (_name(op),))
            continue
        chain, names, last = [index], [_name(op)], index
        fuses = _CONV_FUSES if op.kind == "convolution" else _LINEAR_FUSES
        while len(users.get(last, [])) == 1:
            user = users[last][0]
            kind = ops[user].kind
            if kind in _BATCH_NORMS and len(chain) == 1 and op.kind == "convolution":
                pass
            elif kind == "add" and op.kind == "convolution" and "add" not in names and user not in taken:
                # the first of two convolutions takes the addition, as in the runtime
                if ops[user].inputs[0] != ops[user].inputs[-1] or len(ops[user].inputs) != 2:
                    break
                if last != ops[user].sources[0] and _ends_in_convolution(ops, ops[user].sources[0], users):
                    break
                names.append("add")
                fuses = _SUM_FUSES
            elif kind in fuses:
                names.append(_name(ops[user]))
                chain.append(user)
                break
            else:
                break
            chain.append(user)
            last = user
        taken.update(chain)
        kernels[index] = Kernel(tuple(chain), tuple(names))
    # an operator found before the convolution that takes it
    fused = {i for kernel in kernels.values() for i in kernel.ops[1:]}
    return [kernel for index, kernel in sorted(kernels.items()) if index not in fused]


def shapes_at(graph: ModelGraph, kernel: Kernel, dims: np.ndarray) -> Shapes:
    """Returns the shapes of a kernel's first operator when the network's dimensions are ``dims`` (D,)."""
    return tuple(tuple(int(size) for size in dims[part]) for part in graph.op_dims[kernel.ops[0]])


def _ends_in_convolution(ops: tuple[Op, ...], index: int, users: dict[int, list[int]]) -> bool:
    while index != OUTSIDE and ops[index].kind in _BATCH_NORMS and len(users[index]) == 1:
        index = ops[index].sources[0]
    return index != OUTSIDE and ops[index].kind == "convolution" and len(users[index]) == 1


def _is_free(op: Op) -> bool:
    """Says whether an operator moves no data: views, and slices that leave nothing out."""
    return op.kind in FREE or (op.kind == "slice" and op.inputs[0] == op.output)


def _name(op: Op) -> str:
    return _RENAMED.get(op.kind, op.kind)


def _conv(name: str, op: Op, shapes: Shapes) -> Signature:
    x, weight = shapes[0], shapes[1]
    groups = op.attribute("groups", 1)
    rest = {
        "n": x[:1],
        "hw": x[2:],
        "k": weight[2:],
        "s": op.attribute("stride"),
        "p": op.attribute("padding"),
        "d": op.attribute("dilation"),
    }
    if op.attribute("transposed"):
        return Signature.of("conv_transpose" + name.removeprefix("conv"), (x[1], shapes[-1][1]), g=(groups,), **rest)
    if groups > 1 and weight[1] == 1 and weight[0] == x[1]:
        return Signature.of("dwconv" + name.removeprefix("conv"), (x[1],), **rest)
    return Signature.of(name, (x[1], weight[0]), g=(x[1] // weight[1],), **rest)


def _linear(name: str, op: Op, shapes: Shapes) -> Signature:
    x, weight = shapes[-3], shapes[-2]
    return Signature.of(name, (x[1], weight[1]), n=x[:1])


def _matmul(name: str, op: Op, shapes: Shapes) -> Signature:
    a, b = shapes[0], shapes[1]
    return Signature.of("matmul", (*a, b[-1]))


def _pool(name: str, op: Op, shapes: Shapes) -> Signature:
    x = shapes[0]
    kernel = op.attribute("kernel_size")
    return Signature.of(
        name,
        (x[1],),
        n=x[:1],
        hw=x[2:],
        k=kernel,
        s=op.attribute("stride") or kernel,
        p=op.attribute("padding", (0, 0)) or (0, 0),
        c=(int(op.attribute("ceil_mode", False)),),
    )


def _mean(name: str, op: Op, shapes: Shapes) -> Signature:
    x = shapes[0]
    axes = tuple(axis % len(x) for axis in op.attribute("dim") or range(len(x)))
    rest = _around(x)
    return Signature.of("mean", (x[_channel(x)],), axes=axes, **rest)


def _adaptive(name: str, op: Op, shapes: Shapes) -> Signature:
    x, size = shapes[0], op.attribute("output_size")
    return Signature.of(name, (x[1],), out=size, **_around(x))


def _cat(name: str, op: Op, shapes: Shapes) -> Signature:
    first = shapes[0]
    axis = op.attribute("dim", 0) % len(first)
    parts = tuple(shape[axis] for shape in shapes[:-1])
    return Signature.of("cat", parts, axis=(axis,), before=first[:axis], after=first[axis + 1 :])


def _permute(name: str, op: Op, shapes: Shapes) -> Signature:
    x = shapes[0]
    order = op.attribute("dims")
    if order is None:  # transpose.int(dim0, dim1)
        axes = list(range(len(x)))
        a, b = op.attribute("dim0"), op.attribute("dim1")
        axes[a], axes[b] = axes[b], axes[a]
        order = tuple(axes)
    return Signature.of("permute", (x[_channel(x)],), order=tuple(i % len(x) for i in order), **_around(x))


def _slice(name: str, op: Op, shapes: Shapes) -> Signature:
    x, out = shapes[0], shapes[-1]
    axis, step = op.attribute("dim", 0) % len(x), op.attribute("step", 1)
    start = op.attribute("start") or 0
    start = min(start + x[axis] if start < 0 else start, x[axis])
    window = (start, start + (out[axis] - 1) * step + 1, step)
    return Signature.of("slice", (x[_channel(x)],), axis=(axis,), window=window, **_around(x))


def _pad(name: str, op: Op, shapes: Shapes) -> Signature:
    x = shapes[0]
    return Signature.of("pad", (x[_channel(x)],), pads=op.attribute("pad"), **_around(x))


def _elementwise(name: str, op: Op, shapes: Shapes) -> Signature:
    operands, x = shapes[:-1], shapes[-1]
    rest = _around(x)
    smaller = next((shape for shape in operands if shape != x), None)
    if smaller is not None and name in {"add", "mul", "sub", "div"}:
        # which of its dimensions are repeated, not how large they are: they change with the channels
        rest["by"] = tuple(int(a == b) for a, b in zip(x, (1,) * (len(x) - len(smaller)) + smaller, strict=True))
    return Signature.of(name, (x[_channel(x)],) if x else (1,), **rest)


def _channel(shape: tuple[int, ...]) -> int:
    """Where the channels of a shape are, by convention: second in an image, last in a sequence or vector."""
    return 1 if len(shape) == 4 else len(shape) - 1


def _around(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    at = _channel(shape)
    return {"before": shape[:at], "after": shape[at + 1 :]}


_RULES: dict[str, Callable[[str, Op, Shapes], Signature]] = {
    "conv": _conv,
    "linear": _linear,
    "mm": _matmul,
    "bmm": _matmul,
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "mean": _mean,
    "adaptive_avg_pool2d": _adaptive,
    "cat": _cat,
    "slice": _slice,
    "pad": _pad,
    "permute": _permute,
    "transpose": _permute,
}
