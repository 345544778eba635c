"""The signatures of a network's kernels under any widths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from automc.graph import ModelGraph, Op
from automc.graph.fusion import BATCH_NORMS, is_linear
from automc.graph.ops import OUTSIDE
from automc.latency_tables.signature import INT8, Signature

_RENAMED = {"_softmax": "softmax", "_adaptive_avg_pool2d": "adaptive_avg_pool2d", "convolution": "conv"}
_RENAMED |= dict.fromkeys(BATCH_NORMS, "batch_norm")
_RENAMED |= {"addmm": "linear", "max_pool2d_with_indices": "max_pool2d", "constant_pad_nd": "pad"}
_RENAMED |= dict.fromkeys(("mm", "bmm"), "matmul")
_RENAMED |= {"_scaled_dot_product_flash_attention_for_cpu": "attention", "_prelu_kernel": "prelu"}
_TO_LAST, _FROM_LAST = (0, 2, 3, 1), (0, 3, 1, 2)

Shapes = tuple[tuple[int, ...], ...]


def signature_of(graph: ModelGraph, ops: Sequence[int], dims: np.ndarray, int8: bool = False) -> Signature:
    """Returns the signature of operators that run as one.

    Args:
        graph: the network.
        ops: their positions, the one whose shapes count first.
        dims: the network's dimensions (D,).
        int8: whether they run in int8; an activation then costs nothing of its own and is left out.
    """
    names = [_name(graph.ops[index]) for index in ops if graph.ops[index].kind not in BATCH_NORMS or len(ops) == 1]
    names[:1] = ["linear"] if is_linear(graph.ops, ops[0]) else names[:1]
    op, shapes = graph.ops[ops[0]], _shapes_at(graph, ops[0], dims)
    signature = _RULES.get(names[0], _elementwise)("+".join(names[:1] if int8 else names), op, shapes)
    return replace(signature, op=INT8 + signature.op) if int8 else signature


def edge_signature(graph: ModelGraph, op: int, dims: np.ndarray, name: str) -> Signature:
    """Returns the signature of what happens where precision changes.

    Args:
        graph: the network.
        op: the operator whose result changes its precision, or `OUTSIDE` for the network's input.
        dims: the network's dimensions (D,).
        name: `QUANTIZE` or `DEQUANTIZE`.
    """
    shape = _shapes_at(graph, op, dims)[-1] if op != OUTSIDE else graph.input_shape
    if not _is_image(graph, op, shape):
        return Signature.of(name, shape[-1:], before=(math.prod(shape[:-1]),), after=())
    return Signature.of(name, (shape[_channel(shape)],), **_around(shape))


def reshape_signature(graph: ModelGraph, op: int, dims: np.ndarray) -> Signature:
    """Returns the signature of a view that the runtime runs."""
    shape = _shapes_at(graph, op, dims)[-1]
    return Signature.of("reshape", (math.prod(shape[:-1]), shape[-1]))


def changes_layout(op: Op) -> bool:
    """Says whether an operator brings the channels of images to the end or back."""
    return op.kind == "permute" and op.attribute("dims") in (_TO_LAST, _FROM_LAST)


def _is_image(graph: ModelGraph, op: int, shape: tuple[int, ...]) -> bool:
    """Says whether a result is in the layout of convolutions, by what made it."""
    image, moved = len(shape) == 4, False
    while image and op != OUTSIDE and graph.ops[op].kind != "convolution":
        if is_linear(graph.ops, op) or graph.ops[op].kind == "native_layer_norm":
            return moved
        moved ^= changes_layout(graph.ops[op])
        op = graph.ops[op].sources[0]
    return image and not moved


def _shapes_at(graph: ModelGraph, op: int, dims: np.ndarray) -> Shapes:
    """Returns the shapes of an operator's inputs and then its output when the network's dimensions are ``dims``."""
    return tuple(tuple(int(size) for size in dims[part]) for part in graph.op_dims[op])


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
        rest |= {"g": (groups,), "o": op.attribute("output_padding")}
        return Signature.of("conv_transpose" + name.removeprefix("conv"), (x[1], shapes[-1][1]), **rest)
    if groups > 1 and weight[1] == 1 and weight[0] == x[1]:
        return Signature.of("dwconv" + name.removeprefix("conv"), (x[1],), **rest)
    return Signature.of(name, (x[1], weight[0]), g=(x[1] // weight[1],), **rest)


def _linear(name: str, op: Op, shapes: Shapes) -> Signature:
    x, weight = shapes[-3], shapes[-2]
    return Signature.of(name, (x[1], weight[1]), n=x[:1])


def _matmul(name: str, op: Op, shapes: Shapes) -> Signature:
    a, b = shapes[0], shapes[1]
    return Signature.of(name, (*a, b[-1]))


def _attention(name: str, op: Op, shapes: Shapes) -> Signature:
    query, key = shapes[0], shapes[1]
    return Signature.of(name, (query[1], query[3]), n=query[:1], l=(query[2], key[2]), mask=(int(len(shapes) > 4),))


def _embedding(name: str, op: Op, shapes: Shapes) -> Signature:
    table, ids = shapes[0], shapes[1]
    return Signature.of(name, table[1:], rows=table[:1], n=(math.prod(ids),))


def _layer_norm(name: str, op: Op, shapes: Shapes) -> Signature:
    x, normalized = shapes[0], len(op.attribute("normalized_shape"))
    return Signature.of(name, (math.prod(x[-normalized:]),), before=(math.prod(x[:-normalized]),), after=())


def _group_norm(name: str, op: Op, shapes: Shapes) -> Signature:
    x = shapes[0]
    return Signature.of(name, (x[1],), n=x[:1], hw=x[2:], g=(op.attribute("group"),))


def _select(name: str, op: Op, shapes: Shapes) -> Signature:
    x = shapes[0]
    return Signature.of(name, (x[_channel(x)],), axis=(op.attribute("dim", 0) % len(x),), **_around(x))


def _resize(name: str, op: Op, shapes: Shapes) -> Signature:
    x, out = shapes[0], shapes[-1]
    return Signature.of(name, (x[1],), out=out[2:], **_around(x))


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
    if axis == _channel(first):
        return Signature.of("cat", parts, axis=(axis,), before=first[:axis], after=first[axis + 1 :])
    # along another axis than the channels' these are one more width, the last
    before, after = _without(first[:axis], _channel(first)), _without(first[axis + 1 :], _channel(first) - axis - 1)
    widths = (*parts, first[_channel(first)])
    return Signature.of("cat", widths, axis=(axis,), channel=(_channel(first),), before=before, after=after)


def _without(shape: tuple[int, ...], at: int) -> tuple[int, ...]:
    return tuple(size for place, size in enumerate(shape) if place != at)


def _permute(name: str, op: Op, shapes: Shapes) -> Signature:
    x = shapes[0]
    order = op.attribute("dims")
    if order is None:  # transpose.int(dim0, dim1)
        axes = list(range(len(x)))
        a, b = op.attribute("dim0"), op.attribute("dim1")
        axes[a], axes[b] = axes[b], axes[a]
        order = tuple(axes)
    return Signature.of("permute", x, order=tuple(i % len(x) for i in order))


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
    "matmul": _matmul,
    "attention": _attention,
    "embedding": _embedding,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "select": _select,
    "upsample_nearest2d": _resize,
    "upsample_bilinear2d": _resize,
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
