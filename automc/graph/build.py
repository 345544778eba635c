"""Building a `ModelGraph` from a network and example inputs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from automc import progress
from automc.errors import TraceError, one_line
from automc.graph.blocks import Block, find_blocks
from automc.graph.groups import Group
from automc.graph.layers import Layer, Weighted, find_layers, find_weighted
from automc.graph.ops import Op, record
from automc.graph.probe import Probe, probe
from automc.graph.units import find_groups
from automc.graph.watch import Expired, Watch
from automc.tasks import Inputs
from automc.tasks.checks import check_inputs, check_model

_LIMIT_S = 120.0


@dataclass(frozen=True)
class Weight:
    """A parameter or buffer.

    Attributes:
        name: its name in the state dict.
        shape: its shape.
        itemsize: bytes of one element.
        trainable: whether it is a parameter, which counts as such, or a buffer.
    """

    name: str
    shape: tuple[int, ...]
    itemsize: int
    trainable: bool


@dataclass(frozen=True)
class ModelGraph:
    """The operators of a network, what can be removed, and how shapes follow from what is removed.

    Every dimension of every operator and weight is linear in the channels removed from each group. The
    coefficients are observed while a group is probed, so no operator needs a rule of its own.

    Attributes:
        ops: the operators in execution order, for `batch` examples.
        weights: parameters and buffers, one entry for those that modules share.
        groups: all coupled groups; those with ``frozen`` set cannot be pruned.
        blocks: the residual blocks that may be dropped.
        layers: the layers that can run in int8.
        weighted: the layers that can be simulated at any bits.
        batch: the examples that one forward pass of `ops` handles.
        input_shape: shape of the network's input in that pass; empty if there are several.
        dims: (D,) all dimensions, operators first, then weights; see `op_dims` and `weight_dims`.
        slopes: (G, D) by how much each dimension falls for each channel removed from each prunable group.
    """

    ops: tuple[Op, ...]
    weights: tuple[Weight, ...]
    groups: tuple[Group, ...]
    blocks: tuple[Block, ...]
    layers: tuple[Layer, ...]
    weighted: tuple[Weighted, ...]
    batch: int
    input_shape: tuple[int, ...]
    dims: np.ndarray
    slopes: np.ndarray

    @property
    def prunable(self) -> tuple[Group, ...]:
        """The groups that passed their probe; rows of `slopes`."""
        return tuple(group for group in self.groups if group.frozen is None)

    @cached_property
    def op_dims(self) -> tuple[tuple[slice, ...], ...]:
        """For each operator, where in `dims` the shapes of its inputs and then its output lie."""
        return _layout(0, [[*op.inputs, op.output] for op in self.ops])[0]

    @cached_property
    def weight_dims(self) -> tuple[slice, ...]:
        """For each weight, where in `dims` its shape lies."""
        start = _layout(0, [[*op.inputs, op.output] for op in self.ops])[1]
        return tuple(part for (part,) in _layout(start, [[weight.shape] for weight in self.weights])[0])

    def inside(self, block: Block) -> list[Group]:
        """Returns the groups that lie wholly inside a block and go when it goes."""
        return [
            group for group in self.groups if all(member.name.startswith(block.name + ".") for member in group.members)
        ]


def build_graph(model: nn.Module, inputs: Inputs, limit_s: float = _LIMIT_S) -> ModelGraph:
    """Traces a network, finds its groups and blocks, and probes each.

    Args:
        model: the network, in float32; it is not changed.
        inputs: example inputs, a batch of the size that the device will see.
        limit_s: seconds for all of it; groups not reached by then are frozen, with 0 all of them.

    Raises:
        TaskError: its weights or the inputs are not as a task's must be.
        TraceError: the network cannot be traced, or not in that time.
    """
    check_model(model)
    check_inputs(inputs, 1)
    model = copy.deepcopy(model).eval()
    watch = Watch(limit_s or _LIMIT_S)
    watch.follow(model)
    ops, outputs, found = _trace(model, inputs, watch)
    blocks = find_blocks(model, inputs, watch)
    dims = _dims(ops, model)
    shape = tuple(inputs.shape) if torch.is_tensor(inputs) else ()
    groups, slopes = [], []
    for group in progress.track(found, "Probing channel groups"):
        late = f"not probed: the limit of {limit_s:g} s was used up"
        if not limit_s or watch.over():
            groups.append(replace(group, frozen=late))
            continue
        try:
            with watch.guard():
                tried = probe(model, inputs, outputs, group, watch)
        except Expired:
            groups.append(replace(group, frozen=f"{late} while running {watch.module} without some of its channels"))
            continue
        reason = tried.frozen
        if tried.model is not None:
            slope = _slope(ops, dims, tried)
            if slope is None:
                reason = "shapes do not follow from how many of its channels are removed"
            else:
                slopes.append(slope)
        groups.append(replace(group, frozen=reason))
    return ModelGraph(
        ops=tuple(ops),
        weights=tuple(_weights(model)),
        groups=tuple(groups),
        blocks=tuple(blocks),
        layers=find_layers(model, ops, shape),
        weighted=find_weighted(model, ops),
        batch=pytree.tree_leaves(inputs)[0].shape[0],
        input_shape=shape,
        dims=dims,
        slopes=np.stack(slopes) if slopes else np.zeros((0, len(dims)), dtype=np.int64),
    )


def _trace(model: nn.Module, inputs: Inputs, watch: Watch) -> tuple[list[Op], Any, list[Group]]:
    """Returns a network's operators, its outputs and its groups, unprobed."""
    doing = "running it"
    try:
        with watch.guard():
            try:
                ops, outputs = record(model, inputs)
            except Exception as error:
                said = one_line(error, 160)
                raise TraceError(f"the model does not run on its task's inputs: {said}, in {watch.module}") from error
            if not any(torch.is_tensor(leaf) for leaf in pytree.tree_leaves(outputs)):
                raise TraceError("the model returns no tensor")
            doing = "looking for layers that share channels"
            return ops, outputs, find_groups(model, inputs, ops)
    except Expired:
        raise TraceError(
            f"reading the model took longer than {watch.limit_s:g} s and was stopped while {doing}, in {watch.module}"
        ) from None


def _weights(model: nn.Module) -> list[Weight]:
    unique = {id(tensor): (name, tensor) for name, tensor in reversed(model.state_dict(keep_vars=True).items())}
    return [
        Weight(name, tuple(tensor.shape), tensor.element_size(), isinstance(tensor, nn.Parameter))
        for name, tensor in reversed(unique.values())
    ]


def _dims(ops: Sequence[Op], model: nn.Module) -> np.ndarray:
    shapes = [shape for op in ops for shape in (*op.inputs, op.output)]
    shapes += [weight.shape for weight in _weights(model)]
    return np.array([size for shape in shapes for size in shape], dtype=np.int64)


def _slope(ops: list[Op], dims: np.ndarray, tried: Probe) -> np.ndarray | None:
    """Returns by how much each dimension fell for each channel removed; None when that cannot be said."""
    assert tried.model is not None
    if [op.kind for op in ops] != [op.kind for op in tried.ops]:
        return None
    after = _dims(tried.ops, tried.model)
    if after.shape != dims.shape or ((dims - after) % tried.removed).any():
        return None
    return (dims - after) // tried.removed


def _layout(start: int, shapes: list[list[tuple[int, ...]]]) -> tuple[tuple[tuple[slice, ...], ...], int]:
    layout = []
    for several in shapes:
        parts = []
        for shape in several:
            parts.append(slice(start, start + len(shape)))
            start += len(shape)
        layout.append(tuple(parts))
    return tuple(layout), start
