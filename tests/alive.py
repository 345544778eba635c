"""The peak memory of a network as an allocator sees it that runs it step by step: a plain loop, one network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from automc.graph.fusion import find_kernels, find_paddings, is_free, is_linear, joined_sums
from automc.graph.layers import find_layers
from automc.graph.ops import OUTSIDE, Op, record
from automc.graph.quantizers import Quantizers, find_sums

Form = tuple[str, int | str]  # "float" or "few", and which tensor


def peak_memory(model: nn.Module, inputs: Any, bits: Mapping[str, tuple[int, int]] | None = None) -> float:
    """Runs a built network's operators in thought, allocating and freeing.

    Args:
        model: the network, before its layers were quantized.
        inputs: inputs of the batch that counts.
        bits: (weight bits, activation bits) of the layers that are not to stay in float.
    """
    bits = bits or {}
    ops, _ = record(model, inputs)
    layers = find_layers(model, ops, tuple(inputs.shape) if torch.is_tensor(inputs) else ())
    int8 = {layer.name: np.array([bits.get(layer.name) == (8, 8)]) for layer in layers}
    apart = {layer.name: np.array([bits.get(layer.name) not in (None, (8, 8))]) for layer in layers}
    placement = Quantizers(ops, layers).place(int8, None, apart)
    runs_int8 = placement.int8[:, 0]
    units = _units(ops, layers, runs_int8, placement.fused[:, 0])
    paddings = find_paddings(ops)
    width = [8 if flag else 32 for flag in runs_int8[:-1]]
    for name, (_, activations) in bits.items():
        for index, op in enumerate(ops):
            if op.module == name and (op.kind == "convolution" or is_linear(ops, index)) and width[index] == 32:
                width[index] = activations

    def storage(index: int, argument: int) -> int | str | None:
        source = ops[index].sources[argument]
        if source == OUTSIDE:
            number = ops[index].given[argument]
            return None if number == OUTSIDE else f"input {number}"
        while ops[source].runs and (is_free(ops[source]) or source in paddings):
            index, source = source, ops[source].sources[0]
            if source == OUTSIDE:
                return storage(index, 0)
        return source if ops[source].runs else None

    inputs_of: dict[int | str, None] = {}
    elements: dict[int | str, int] = {}
    itemsize: dict[int | str, int] = {}
    for index, op in enumerate(ops):
        elements[index], itemsize[index] = prod(op.output), op.itemsizes[-1]
        for argument, number in enumerate(op.given):
            if number != OUTSIDE and op.runs:
                inputs_of[f"input {number}"] = None
                elements[f"input {number}"] = prod(op.inputs[argument])
                itemsize[f"input {number}"] = op.itemsizes[argument]
    uses: Counter[Form] = Counter()
    reads: list[list[Form]] = []
    few: dict[int | str, int] = {}
    for unit in units:
        mine: dict[Form, None] = {}
        for index in unit:
            for argument in range(len(ops[index].sources)):
                read = storage(index, argument)
                if read is not None and read not in unit:
                    mine["few" if width[index] < 32 else "float", read] = None
                    if width[index] < 32:
                        few[read] = max(few.get(read, 0), width[index])
        reads.append(list(mine))
        uses.update(list(mine))
    users = {source for op in ops if op.runs for source in op.sources}
    for index, op in enumerate(ops):
        if op.runs and (op.returned or index not in users):
            kept = index
            while is_free(ops[kept]):
                kept = ops[kept].sources[0]
            uses["float", kept] += 1  # never given back
    alive: dict[Form, float] = {}
    scores: dict[int, float] = {}
    most = 0.0

    def allocate(*forms: Form) -> None:
        nonlocal most
        for form, which in forms:
            each = itemsize[which] if form == "float" else few.get(which, 0) / 8
            if form == "few" and which in made_int8:
                each = 1
            alive[form, which] = elements[which] * each
        most = max(most, sum(alive.values()) + sum(scores.values()))

    def free(*but: Form) -> None:
        for held in [held for held in alive if not uses[held] and held not in but]:
            del alive[held]

    made_int8 = {unit[-1] for unit in units if runs_int8[unit[0]]}
    allocate(*(("float", name) for name in inputs_of))
    allocate(*(("few", name) for name in inputs_of if uses["few", name]))
    free()
    for unit, read_by in zip(units, reads, strict=True):
        made, other = ("few", "float") if runs_int8[unit[0]] else ("float", "few")
        scores[unit[-1]] = _scores(ops[unit[-1]])
        allocate((made, unit[-1]))
        scores.clear()
        uses.subtract(read_by)
        free((made, unit[-1]))
        if uses[other, unit[-1]]:
            allocate((other, unit[-1]))
        free()
    return most


def _scores(op: Op) -> float:
    """Returns the bytes of attention's scores: queries by keys, for each head."""
    return 4 * prod(op.inputs[0][:-1]) * op.inputs[1][-2] if op.kind.startswith("_scaled_dot_product") else 0


def _units(ops: list[Op], layers: Any, int8: np.ndarray, fused: np.ndarray) -> list[list[int]]:
    """Returns the operators that run as one, by when they run."""
    kernels = find_kernels(ops)
    joined = joined_sums(ops, kernels)
    chains = [layer.ops for layer in layers if int8[layer.ops[0]]]
    chains += [chain for head, chain in find_sums(ops).items() if int8[head]]
    taken = {op for chain in chains for op in chain}
    units = [[op for op in chain if not is_free(ops[op])] for chain in chains]
    for kernel in kernels:
        left = [op for op in kernel if op not in taken]
        added = next((op for op in left if op in joined), None)
        if int8[kernel[0]] or kernel[0] in taken:
            units += [[op] for op in left]
        elif added is not None and not fused[added]:
            at = left.index(added)
            units += [left[:at], *([op] for op in left[at:])]
        elif added is None and any(op in taken for op in kernel):
            at = next(place for place, op in enumerate(kernel) if op in taken)
            units += [list(kernel[:at]), *([op] for op in kernel[at:] if op not in taken)]
        else:
            units.append(left)
    return sorted((unit for unit in units if unit), key=lambda unit: unit[-1])
