"""Cross-layer equalization (Nagel et al., Data-Free Quantization, ICCV 2019).

Between two layers with nothing but BatchNorm and ReLU in between, a channel may be divided by any positive factor in
the first layer and multiplied by it in the second. The factors that make the ranges of both layers' weights alike,
channel by channel, leave fewer channels that waste the levels of the others.
"""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from torch import Tensor, nn

from automc.graph.fusion import BATCH_NORMS, users_of
from automc.graph.layers import find_weighted
from automc.graph.ops import Op, record
from automc.tasks import Inputs

_SWEEPS = 3  # chains of layers settle after a few
_LARGEST = 100.0  # factors beyond it only move the trouble elsewhere


@torch.no_grad()
def equalize(model: nn.Module, inputs: Inputs, names: Collection[str]) -> nn.Module:
    """Returns a network with the same outputs in which neighbouring layers among ``names`` have like ranges.

    Args:
        model: the network in float; it is not changed.
        inputs: example inputs.
        names: the layers that will be quantized; others are left alone.
    """
    model = copy.deepcopy(model).eval()
    pairs = [pair for pair in _pairs(model, inputs) if {pair[0], pair[2]} <= set(names)]
    for _ in range(_SWEEPS):
        for first, norm, second in pairs:
            before = None if norm is None else model.get_submodule(norm)
            _equalize(model.get_submodule(first), before, model.get_submodule(second))
    return model


def _pairs(model: nn.Module, inputs: Inputs) -> list[tuple[str, str | None, str]]:
    """Returns (layer, its BatchNorm, the only layer that reads it)."""
    with torch.autocast("cpu", enabled=False):
        ops = record(model, inputs)[0]
    users = users_of(ops)
    found = find_weighted(model, ops)
    layers = {layer.op: layer for layer in found}
    pairs = []
    for index, layer in layers.items():
        readers = users.get(index, [])
        while len(readers) == 1 and _lets_through(ops[readers[0]], layer.norm):
            readers = users.get(readers[0], [])
        reader = layers.get(readers[0]) if len(readers) == 1 else None
        if reader and type(model.get_submodule(reader.name)) is type(model.get_submodule(layer.name)):
            pairs.append((layer.name, layer.norm, reader.name))
    return pairs


def _lets_through(op: Op, norm: str | None) -> bool:
    return op.kind == "relu" or (op.kind in BATCH_NORMS and op.module == norm)


def _equalize(first: nn.Module, norm: nn.Module | None, second: nn.Module) -> None:
    weight, reading = first.weight, second.weight
    assert isinstance(weight, Tensor) and isinstance(reading, Tensor)
    groups = second.groups if isinstance(second, nn.Conv2d) else 1
    rows = weight.flatten(1).abs().amax(1)
    makers = [tensor for tensor in (weight, first.bias) if isinstance(tensor, Tensor)]
    if norm is not None:
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None
        rows = rows * norm.weight.abs() / (norm.running_var + norm.eps).sqrt()
        makers = [norm.weight, norm.bias]
    # a grouped convolution's weights are (outputs, inputs of a group, ...); here (inputs, outputs of a group, ...)
    columns = reading.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1).abs().amax(1)
    factor = (rows / columns.clamp(min=1e-12)).sqrt().clamp(1 / _LARGEST, _LARGEST)
    factor[(rows == 0) | (columns == 0)] = 1.0
    for tensor in makers:
        tensor.div_(factor.reshape(-1, *[1] * (tensor.ndim - 1)))
    inputs = factor.view(groups, 1, -1).expand(-1, len(reading) // groups, -1).flatten(0, 1)
    reading.mul_(inputs.reshape(*inputs.shape, *[1] * (reading.ndim - 2)))
