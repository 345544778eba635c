"""Operators as matrix products: what an accelerator computes, and what it moves for that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from automc.errors import TableError
from automc.latency_tables.signature import Signature

_AROUND = ("n", "hw", "before", "after")
_UNKNOWN = ("baddbmm", "lstm", "gru", "rnn")


@dataclass(frozen=True)
class Product:
    """(m, k) x (k, n), once for each group of each image.

    Of a convolution: m output channels of a group, k weights of each (im2col), n output pixels.

    Attributes:
        m: rows of the left operand.
        k: what is summed over.
        n: columns of the right operand for one image.
        groups: groups of a convolution, or products of a batched one that share nothing.
        images: examples whose columns use the same left operand.
        inputs: elements of the right operand for all images as they lie in memory, before im2col.
        weighted: whether the left operand is a layer's weights; if not, it is activations like the right one.
    """

    m: int
    k: int
    n: int
    groups: int
    images: int
    inputs: int
    weighted: bool = True

    @property
    def macs(self) -> int:
        """Multiply-accumulates for all images."""
        return self.m * self.k * self.n * self.groups * self.images

    @property
    def weights(self) -> int:
        """Elements of the left operand."""
        return self.m * self.k * self.groups

    @property
    def outputs(self) -> int:
        """Elements of the result for all images."""
        return self.m * self.n * self.groups * self.images

    def bytes_at(self, weights: int, activations: int) -> float:
        """Returns what moves if each operand is read once and the result written once at the activations' bits."""
        return (self.weights * weights + (self.inputs + self.outputs) * activations) / 8


def products_of(signature: Signature) -> tuple[Product, ...]:
    """Returns the products of an operator, the first named of several that are fused; none where it has none.

    A transposed convolution is the product of its transposed weight with the input's pixels; adding up what overlaps is
    not counted. Attention is two products for each head: scores, and their product with the values.

    Raises:
        TableError: it has products that a signature does not describe.
    """
    head = signature.kind.split("+")[0]
    if any(name in head for name in _UNKNOWN):
        raise TableError(f"'{signature}': its products are not in its signature, so no accelerator can price it")
    rule = _RULES.get(head)
    return () if rule is None else rule(signature)


def work_of(signature: Signature) -> tuple[float, float]:
    """Returns an operator's multiply-accumulates, and the bytes that it moves at its bits, each operand once.

    One without products moves as many elements out as in.

    Raises:
        TableError: like `products_of`.
    """
    weights, activations = signature.bits
    found = products_of(signature)
    if found:
        return float(sum(p.macs for p in found)), sum(p.bytes_at(weights, activations) for p in found)
    sizes = [math.prod(value) for name, value in signature.rest if name in _AROUND]
    return 0.0, 2 * _widths(signature) * math.prod(sizes) * activations / 8


def _widths(signature: Signature) -> int:
    """Returns the elements of an operator's result, but for the sizes around its channels."""
    if signature.kind in {"permute", "reshape"}:  # all sizes are channels here
        return math.prod(signature.channels)
    if "channel" in dict(signature.rest):  # joined along another axis
        *parts, width = signature.channels
        return sum(parts) * width
    return sum(signature.channels)


def _conv(signature: Signature) -> tuple[Product, ...]:
    inputs, outputs = (signature.channels * 2)[:2]  # one number where it is depthwise
    groups = inputs if signature.kind.startswith("dwconv") else signature.get("g")[0]
    (images,), pixels, kernel = signature.get("n"), signature.get("hw"), signature.get("k")
    n = math.prod(_out(pixels, kernel, *(signature.get(name) for name in "spd")))
    k = inputs // groups * math.prod(kernel)
    return (Product(outputs // groups, k, n, groups, images, images * inputs * math.prod(pixels)),)


def _conv_transpose(signature: Signature) -> tuple[Product, ...]:
    inputs, outputs = signature.channels
    (groups,), (images,), pixels = signature.get("g"), signature.get("n"), math.prod(signature.get("hw"))
    m = outputs // groups * math.prod(signature.get("k"))
    return (Product(m, inputs // groups, pixels, groups, images, images * inputs * pixels),)


def _linear(signature: Signature) -> tuple[Product, ...]:
    (inputs, outputs), (rows,) = signature.channels, signature.get("n")
    return (Product(outputs, inputs, rows, 1, 1, rows * inputs),)


def _matmul(signature: Signature) -> tuple[Product, ...]:
    *batch, rows, k, columns = signature.channels
    groups = math.prod(batch)
    return (Product(columns, k, rows, groups, 1, groups * rows * k, weighted=False),)


def _attention(signature: Signature) -> tuple[Product, ...]:
    (heads, width), (examples,), (queries, keys) = signature.channels, signature.get("n"), signature.get("l")
    groups = heads * examples
    return (
        Product(keys, width, queries, groups, 1, groups * queries * width, weighted=False),
        Product(width, keys, queries, groups, 1, groups * queries * keys, weighted=False),
    )


def _out(
    pixels: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """Returns the size of a convolution's output; stride, padding and dilation may be one number for all dimensions."""
    count = len(pixels)
    s, p, d = (list(values) * count if len(values) == 1 else list(values) for values in (stride, padding, dilation))
    return [(pixels[i] + 2 * p[i] - d[i] * (kernel[i] - 1) - 1) // s[i] + 1 for i in range(count)]


_RULES = {
    "conv": _conv,
    "dwconv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": _linear,
    "matmul": _matmul,
    "attention": _attention,
}
