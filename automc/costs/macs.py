"""Multiply-accumulate operations of an operator, as products of its dimensions.

Counted are convolutions, linear layers, matrix products and attention, as `torch.utils.flop_counter` counts them
(one MAC for every two of its FLOPs).
"""

from __future__ import annotations

from automc.graph import Op

Columns = tuple[int, ...]


def mac_terms(op: Op, dims: tuple[slice, ...]) -> list[Columns]:
    """Returns the products whose sum is the operator's MACs: for each, the positions of its factors.

    Args:
        op: the operator.
        dims: where the shapes of its inputs and then its output lie among the graph's dimensions.
    """

    def at(argument: int, *axes: int) -> Columns:
        columns = range(dims[argument].start, dims[argument].stop)
        return tuple(columns[axis] for axis in axes) if axes else tuple(columns)

    if op.kind == "convolution":
        pixels = at(0) if op.attribute("transposed") else at(-1)
        return [pixels + at(1)[1:]]
    if op.kind == "addmm":
        return [at(-3) + at(-2, -1)]
    if op.kind in {"mm", "bmm"}:
        return [at(0) + at(1, -1)]
    if op.kind == "baddbmm":
        return [at(1) + at(2, -1)]
    if op.kind.startswith("_scaled_dot_product"):
        # scores: queries x keys over the head's width; then their product with the values
        return [at(0) + at(1, -2), at(0)[:-1] + at(2, -2, -1)]
    return []
