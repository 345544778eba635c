"""int8: a network with quantizers where `automc.graph.quantizers` puts them.

The same module is scored and exported. Weights are stored in 8 bits, signed and symmetric for each output channel;
activations pass through quantizers of 256 levels, unsigned and asymmetric, one scale a tensor. Both are what ONNX
Runtime's CPU kernels take. In PyTorch they are `fake_quantize` operators: the same numbers, computed in float.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils import _pytree as pytree

from automc.graph.ops import Call, Calls, Op, record
from automc.graph.quantizers import Quantizers, find_layers
from automc.tasks import Inputs, call

INPUT: Call = ("input", 0)
"""Stands for the network's input where a quantizer stands behind that."""

_WEIGHT_LEVELS, _LEVELS = 127, 255
_FINEST = 2.0**-20  # smallest step of a channel's weights, as a share of its bias


class Quantizer(nn.Module):
    """Rounds a tensor to 256 levels; a new one passes everything and notes the range of what it sees."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("zero_point", torch.tensor(0, dtype=torch.int32))
        self.observing = False
        self._low, self._high = 0.0, 0.0  # zero is always a level: padding must be exact

    def forward(self, x: Tensor) -> Tensor:
        """Returns the tensor with every element on a level."""
        if self.observing:
            self._low, self._high = min(self._low, x.min().item()), max(self._high, x.max().item())
            return x
        if torch.compiler.is_exporting() or torch.is_grad_enabled():
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, 0, _LEVELS)
        # the same numbers ten times as fast; in float32 under autocast too
        levels = x.float().mul(1 / self.scale).round_().clamp_(-self.zero_point, _LEVELS - self.zero_point)
        return levels.mul_(self.scale).to(x.dtype)

    def settle(self) -> None:
        """Spreads the levels over the range that was seen."""
        self.observing = False
        scale = (self._high - self._low) / _LEVELS or 1.0  # of what is always zero any scale is right
        self.scale.fill_(scale)
        self.zero_point.fill_(round(-self._low / scale))


class _Levels:
    """A layer whose weights are stored as integers and read as floats: networks cast their inputs to that type."""

    _parameters: dict[str, nn.Parameter]

    @property
    def weight(self) -> Tensor:
        return self._parameters["weight"].float()


class _Int8Conv2d(_Levels, nn.Conv2d):  # type: ignore[misc, override]
    pass


class _Int8Linear(_Levels, nn.Linear):  # type: ignore[misc, override]
    pass


class Quantized(nn.Module):
    """A network in which some layers run in int8.

    Its layers' weights are 8-bit integers and BatchNorm is folded into them. Until `calibrate` was called, or its
    state loaded, its quantizers have no scales.

    Args:
        model: the network in float; it is not changed.
        inputs: example inputs.
        layers: names of the layers that run in int8.
    """

    def __init__(self, model: nn.Module, inputs: Inputs, layers: Collection[str]) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        shape = tuple(inputs.shape) if torch.is_tensor(inputs) else ()
        ops = _operators(self.model, inputs)
        found = find_layers(self.model, ops, shape)
        missing = set(layers) - {layer.name for layer in found}
        if missing:
            raise ValueError(f"layer '{min(missing)}' cannot run in int8")
        placement = Quantizers(ops, found).place({layer.name: np.array([layer.name in layers]) for layer in found})
        runs = [layer for layer in found if placement.int8[layer.ops[0], 0]]
        # folding takes operators away, and with them the numbers of calls change
        folded = {layer.ops[1]: layer.ops[0] for layer in runs if layer.norm is not None}
        for layer in runs:
            if layer.norm is not None:
                _fold(self.model, layer.name, layer.norm)
        stay = [index for index in range(len(ops)) if index not in folded]
        now = _operators(self.model, inputs)
        calls = {index: op.call for index, op in zip(stay, now, strict=True)} | {len(ops): INPUT}
        calls |= {norm: calls[layer] for norm, layer in folded.items()}
        for layer in runs:
            _to_integers(self.model.get_submodule(layer.name))
        self.layers = {calls[layer.result]: layer.name for layer in runs}
        placed = [calls[index] for index in np.flatnonzero(placement.placed[:, 0]).tolist()]
        self._names = {made: "{}_{}".format(*made) for made in placed if made is not None}
        self.quantizers = nn.ModuleDict({name: Quantizer() for name in self._names.values()})
        self._reads = {}
        for layer in runs:
            source = layer.source
            while not placement.placed[source, 0]:  # moved since it was quantized
                source = ops[source].sources[0]
            made = calls[source % len(calls)]
            assert made is not None
            self._reads[layer.name] = self._names[made]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Takes and returns what the network does."""
        if INPUT in self._names:
            args, kwargs = pytree.tree_map_only(Tensor, self.quantizers[self._names[INPUT]], (args, kwargs))
        with Calls(self._after, self._before):
            return self.model(*args, **kwargs)

    @torch.no_grad()
    def calibrate(self, inputs: Inputs) -> None:
        """Sets the scales of all quantizers from what the network does with these inputs."""
        quantizers = [module for module in self.quantizers.values() if isinstance(module, Quantizer)]
        for quantizer in quantizers:
            quantizer.observing = True
        call(self, inputs)
        for quantizer in quantizers:
            quantizer.settle()
        for name, source in self._reads.items():
            layer, scale = self.model.get_submodule(name), self.quantizers[source].scale
            assert isinstance(scale, Tensor) and isinstance(layer.weight_scale, Tensor)
            if isinstance(layer.bias, Tensor):  # the runtime counts it in these steps
                step = layer.weight_scale * scale
                layer.bias.copy_((layer.bias / step).round() * step)

    def _before(self, made: Call, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if made not in self.layers:
            return args
        layer = self.model.get_submodule(self.layers[made])
        scale = layer.weight_scale
        assert isinstance(scale, Tensor)
        weight = args[1] * scale.reshape(-1, *[1] * (args[1].ndim - 1))
        zeros = torch.zeros_like(scale, dtype=torch.int32)
        # the weights are on their levels already; this tells an exporter that they are
        weight = torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -_WEIGHT_LEVELS - 1, _WEIGHT_LEVELS)
        return (args[0], weight, *args[2:])

    def _after(self, made: Call, result: Any) -> Any:
        return self.quantizers[self._names[made]](result) if made in self._names else result


def quantize(model: nn.Module, inputs: Inputs, bits: Mapping[str, tuple[int, int]]) -> Quantized:
    """Returns the network with some layers in fewer bits.

    Args:
        model: the network in float; it is not changed.
        inputs: calibration inputs: the range of every tensor is that which they give.
        bits: (weight bits, activation bits) of these layers; 8 and 8 is all there is.

    Raises:
        ValueError: a layer cannot run in int8.
    """
    quantized = Quantized(model, pytree.tree_map(lambda tensor: tensor[:1], inputs), list(bits))
    quantized.calibrate(inputs)
    return quantized


def _operators(model: nn.Module, inputs: Inputs) -> list[Op]:
    with torch.autocast("cpu", enabled=False):  # casts are no operators of the network
        return record(model, inputs)[0]


def _fold(model: nn.Module, name: str, norm: str) -> None:
    layer, batch_norm = model.get_submodule(name), model.get_submodule(norm)
    assert isinstance(layer, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d)
    model.set_submodule(name, fuse_conv_bn_eval(layer, batch_norm))
    model.set_submodule(norm, nn.Identity())


@torch.no_grad()
def _to_integers(layer: nn.Module) -> None:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    scale = weight.flatten(1).abs().amax(1) / _WEIGHT_LEVELS
    if isinstance(layer.bias, Tensor):  # the runtime counts it in steps of this scale: 32 bits must be enough
        scale = torch.maximum(scale, layer.bias.abs() * _FINEST)
    scale[scale == 0] = 1.0
    levels = (weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).round().to(torch.int8)
    layer.register_buffer("weight_scale", scale)
    layer.weight = nn.Parameter(levels, requires_grad=False)
    layer.__class__ = _Int8Conv2d if isinstance(layer, nn.Conv2d) else _Int8Linear
