"""What a network runs under the policies of a space, on processors and on accelerators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from automc.costs.macs import mac_terms
from automc.costs.parts import Part, Parts, When
from automc.costs.precision import Precisions
from automc.graph import ModelGraph
from automc.graph.fusion import find_kernels, find_paddings, find_reshapes, is_free, joined_sums
from automc.graph.ops import OUTSIDE
from automc.graph.quantizers import find_sums
from automc.latency_tables import Signature
from automc.latency_tables.kernels import changes_layout, edge_signature, reshape_signature, signature_of
from automc.latency_tables.signature import DEQUANTIZE, QUANTIZE
from automc.search_spaces import SearchSpace


class ProductModel(Parts):
    """What a network runs on hardware on which each layer has bits of its own and only products cost anything.

    A product that no choice of bits belongs to runs at the precision of a network as it is.

    Args:
        graph: the network.
        space: the space that the policies are from.
        reference: (weight bits, activation bits) of that precision.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, reference: tuple[int, int]) -> None:
        def as_it_is(op: int, dims: np.ndarray) -> Signature:
            return signature_of(graph, [op], dims).at_bits(*reference)

        columns = {axis.unit: column for column, axis in enumerate(space.axes) if axis.field == "bits"}
        parts = []
        for index, op in enumerate(graph.ops):
            if op.runs and mac_terms(op, graph.op_dims[index]):
                signature = partial(as_it_is, index)
                name = f"{op.module}:{signature(graph.dims).kind}"
                parts.append(Part(graph, space, name, index, signature, (), columns.get(op.module)))
        super().__init__(space, parts)


class LatencyModel(Parts):
    """What a network runs under the policies of a space, and how long that takes.

    A network runs its float kernels, its int8 operators and, where precision changes between two of them, a
    conversion. All of these that any policy has are parts here; each says for which policies it runs.

    Args:
        graph: the network.
        space: the space that the policies are from.
        precisions: which operators run in int8.
    """

    def __init__(self, graph: ModelGraph, space: SearchSpace, precisions: Precisions) -> None:
        layers = {layer.ops[0]: layer.ops for layer in precisions.layers}
        units = layers | find_sums(graph.ops)
        fused = {op for ops in units.values() for op in ops[1:]}
        can = precisions.possible
        parts: list[Part] = []

        def add(kind: str, op: int, signature: Callable[[np.ndarray], Signature], when: When) -> None:
            module = graph.ops[op].module if op != OUTSIDE else "input"
            parts.append(Part(graph, space, f"{module}:{kind}", op, signature, when))

        def add_ops(ops: Sequence[int], int8: bool, when: When) -> None:
            signature = partial(signature_of, graph, ops, int8=int8)
            add(signature(graph.dims).op, ops[0], signature, when)

        kernels = find_kernels(graph.ops)
        joined = joined_sums(graph.ops, kernels)
        for kernel in kernels:
            added = next((op for op in kernel if op in joined), None)
            if added is None:
                add_ops(kernel, False, (("int8", kernel[0], False),))
                for op in kernel[1:] if kernel[0] in layers else ():
                    if op not in layers[kernel[0]]:  # disappears in the layer in float only
                        add_ops([op], False, (("int8", kernel[0], True), ("int8", op, False)))
                continue
            add_ops(kernel, False, (("fused", added, True),))
            add_ops(kernel[: kernel.index(added)], False, (("int8", kernel[0], False), ("fused", added, False)))
            for op in kernel[kernel.index(added) :]:
                add_ops([op], False, (("fused", added, False), ("int8", op, False)))
        for index in find_reshapes(graph.ops):
            add("reshape", index, partial(reshape_signature, graph, index), ())
        fused |= find_paddings(graph.ops)
        for index, each in enumerate(graph.ops):
            # layers in int8 have their channels last, whatever the network says
            free = index in fused or is_free(each) or changes_layout(each)
            if can.int8[index].any() and not free:
                add_ops(units.get(index, (index,)), True, (("int8", index, True),))
        for row in np.flatnonzero(can.quantized.any(axis=1)).tolist():
            index = OUTSIDE if row == len(graph.ops) else row
            add(QUANTIZE, index, partial(edge_signature, graph, index, name=QUANTIZE), (("enters", row, True),))
            add(DEQUANTIZE, index, partial(edge_signature, graph, index, name=DEQUANTIZE), (("leaves", row, True),))
        super().__init__(space, parts)
