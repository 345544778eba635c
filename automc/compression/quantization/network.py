"""A network with weights on levels: what is scored and exported.

Weights are stored as signed 8-bit integers, symmetric for each output channel; activations pass through quantizers,
unsigned and asymmetric, one scale a tensor. At 8 bits both are what ONNX Runtime's CPU kernels take. In PyTorch they
are `fake_quantize` operators: the same numbers, computed in float.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from automc.compression.bits import Bits
from automc.compression.methods import Methods
from automc.compression.quantization.clipping import weight_scales
from automc.compression.quantization.levels import put_on_levels
from automc.compression.quantization.wiring import Wired
from automc.search_spaces.policy import FLOAT_BITS
from automc.tasks import Inputs

_FINEST = 2.0**-20  # smallest step of a channel's weights, as a share of its bias
_LOWEST, _HIGHEST = -128, 127  # what eight bits hold; fewer bits use fewer of them


def most(bits: int) -> int:
    """Returns the largest level of weights of so many bits; the smallest is its negative."""
    return 2 ** (bits - 1) - 1


def by_channel(scale: Tensor, weight: Tensor) -> Tensor:
    """Returns a scale (channels,) in a shape that multiplies a weight (channels, ...)."""
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


class Quantized(Wired):
    """A network in which some layers run in int8, and others are simulated at other bits.

    Its layers' weights are integers and BatchNorm is folded into them. Until `calibrate` was called, or its state
    loaded, its quantizers have no scales.

    Args:
        model: the network in float; it is not changed.
        inputs: example inputs.
        bits: (weight bits, activation bits) of the layers that are not to stay in float.
        methods: how ranges are chosen.
        scales: steps of weights (channels,) that are known already, by layer.

    Raises:
        ValueError: a layer cannot run so.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        bits: Mapping[str, Bits],
        methods: Methods | None = None,
        scales: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(model, inputs, bits, methods, fold=True)
        for name, (weight_bits, _) in self.bits.items():
            if weight_bits < FLOAT_BITS:
                self._to_levels(name, weight_bits, (scales or {}).get(name))

    def calibrate(self, inputs: Inputs) -> None:
        """Sets the scales of all quantizers from what the network does with these inputs."""
        super().calibrate(inputs)
        self.round_biases()

    @torch.no_grad()
    def round_biases(self) -> None:
        """Puts the biases of layers in int8 on multiples of input scale times weight scale, as the runtime does."""
        for name, source in self._reads.items():
            layer, scale = self.model.get_submodule(name), self.quantizers[source].scale
            assert isinstance(scale, Tensor) and isinstance(layer.weight_scale, Tensor)
            if isinstance(layer.bias, Tensor):
                step = layer.weight_scale * scale
                layer.bias.copy_((layer.bias / step).round() * step)

    @torch.no_grad()
    def _to_levels(self, name: str, bits: int, scale: Tensor | None) -> None:
        layer = self.model.get_submodule(name)
        weight = layer.weight
        assert isinstance(weight, Tensor)
        scale = weight_scales(weight, self.weight_clipping(bits), most(bits)) if scale is None else scale.clone()
        if name in self._reads and isinstance(layer.bias, Tensor):
            # the runtime counts it in steps of this scale: 32 bits must be enough
            scale = torch.maximum(scale, layer.bias.abs() * _FINEST)
        scale[scale == 0] = 1.0
        levels = (weight / by_channel(scale, weight)).round().clamp_(-most(bits), most(bits))
        put_on_levels(layer, levels, scale)

    def _weight(self, layer: nn.Module, weight: Tensor, bits: int) -> Tensor:
        scale = layer.weight_scale
        assert isinstance(scale, Tensor)
        weight = weight * by_channel(scale, weight)
        # the weights are on their levels already; this tells an exporter that they are
        zeros = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, _LOWEST, _HIGHEST)
