"""Training through the quantizer: weights in float with learned steps, turned into levels afterwards.

Steps of weights and of activations are learned beside the weights (LSQ, Esser et al., ICLR 2020); gradients pass the
rounding straight through. BatchNorm stays as it is while training and is folded afterwards: with one step for each
output channel that changes no level.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc.compression.bits import Bits
from automc.compression.methods import Methods
from automc.compression.quantization.clipping import weight_scales
from automc.compression.quantization.network import Quantized, by_channel, most
from automc.compression.quantization.quantizer import Quantizer
from automc.compression.quantization.wiring import INPUT_QUANTIZER, Wired
from automc.search_spaces.policy import FLOAT_BITS
from automc.tasks import Inputs

_SMALLEST = 1e-12


class _OnLevels(torch.autograd.Function):
    """Rounds to the levels from ``low`` to ``high``, few passes over memory each way.

    The gradient passes where nothing was clipped. A step's gradient is that of LSQ's equation 3, in which
    ``out - x`` stands for the rounding error and ``out`` for what was clipped, times ``share``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int, share: float) -> Tensor:
        step = scale.abs().clamp(min=_SMALLEST)
        out = x.mul(1 / step).round_().clamp_(low, high).mul_(step)
        ctx.save_for_backward(x, out, step)
        ctx.low, ctx.high, ctx.share = low, high, share
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (grad,) = grads
        x, out, step = ctx.saved_tensors
        low, high = ctx.low - 0.5, ctx.high + 0.5
        if step.ndim == 0:  # of a tensor of activations: one fused pass for the mask
            bounds = low * step.item(), high * step.item()
            passed = torch.ops.aten.hardtanh_backward(grad, x, *bounds)
            inside = torch.ops.aten.hardtanh_backward(x, x, *bounds)
            step_grad = torch.sub(out, inside, out=inside).mul_(grad).sum(dtype=torch.float32).div_(step)
        else:
            mask = (x > low * step) & (x < high * step)
            passed = grad * mask
            step_grad = (((out - x * mask) * grad) / step).flatten(1).sum(1).view_as(step)
        return passed, step_grad.mul_(ctx.share), None, None, None


class LearnedQuantizer(Quantizer):
    """A quantizer whose step is learned; its zero point stays."""

    def __init__(self, bits: int, clipping: str) -> None:
        super().__init__(bits, clipping)
        del self.scale
        self.scale = nn.Parameter(torch.tensor(1.0))  # type: ignore[assignment]  # a buffer in the base class

    def forward(self, x: Tensor) -> Tensor:
        """Returns the tensor with every element on a level."""
        if self.observing:
            return super().forward(x)
        zero = int(self.zero_point)
        share = (x[0].numel() * self.levels) ** -0.5  # of LSQ, section 2.2: steps learn as fast as weights
        return _OnLevels.apply(x, self.scale, -zero, self.levels - zero, share)


class Learned(Wired):
    """A network that trains through its quantizers.

    All of its parameters are in float, so that any training loop trains it; `settled` returns what it has become.

    Args:
        model: the network in float; it is not changed.
        inputs: calibration inputs, for the first ranges.
        bits: (weight bits, activation bits) of the layers that are not to stay in float.
        methods: how first ranges are chosen.

    Raises:
        ValueError: a layer cannot run so.
    """

    def __init__(
        self, model: nn.Module, inputs: Inputs, bits: Mapping[str, Bits], methods: Methods | None = None
    ) -> None:
        self._example = pytree.tree_map(lambda tensor: tensor[:1], inputs)
        self._asked = dict(bits)
        super().__init__(model, self._example, bits, methods, fold=False)
        for name, (weight_bits, _) in self.bits.items():
            layer = self.model.get_submodule(name)
            if weight_bits < FLOAT_BITS:
                assert isinstance(layer.weight, Tensor)
                scale = weight_scales(layer.weight, self.weight_clipping(weight_bits), most(weight_bits))
                layer.register_parameter("weight_scale", nn.Parameter(scale.clamp(min=_SMALLEST)))
        self.calibrate(inputs)
        for norm in self._norms():
            norm.num_batches_tracked = None  # counting would be one more call, in training alone

    def quantizer(self, bits: int) -> Quantizer:
        """Returns a new quantizer whose step is learned."""
        return LearnedQuantizer(bits, super().quantizer(bits).clipping)

    @torch.no_grad()
    def settled(self) -> Quantized:
        """Returns the network on levels, with the steps that were learned; it scores as this one does in evaluation."""
        learned = copy.deepcopy(self)
        for norm in learned._norms():
            norm.num_batches_tracked = torch.tensor(0)
        scales, own = {}, {}
        for name, (weight_bits, _) in self.bits.items():
            layer = learned.model.get_submodule(name)
            if weight_bits < FLOAT_BITS:
                scale = layer.weight_scale
                assert isinstance(scale, Tensor)
                scales[name] = self._folded(name, scale.detach().abs().clamp(min=_SMALLEST))
                del layer.weight_scale
            if isinstance(quantizer := getattr(layer, INPUT_QUANTIZER, None), Quantizer):
                own[name] = quantizer
                delattr(layer, INPUT_QUANTIZER)
        quantized = Quantized(learned.model, self._example, self._asked, self.methods, scales)
        # both count the same operators, though by other names where BatchNorm was folded
        pairs = [*zip(quantized.quantizers.values(), learned.quantizers.values(), strict=True)]
        pairs += [(getattr(quantized.model.get_submodule(name), INPUT_QUANTIZER), one) for name, one in own.items()]
        for target, source in pairs:
            assert isinstance(target, Quantizer) and isinstance(source, Quantizer)
            target.scale.copy_(source.scale.abs().clamp(min=_SMALLEST))
            target.zero_point.copy_(source.zero_point)
        quantized.round_biases()
        return quantized.eval()

    def _folded(self, name: str, scale: Tensor) -> Tensor:
        """Returns the steps of a layer's weights once BatchNorm is folded in."""
        if name not in self.norms:
            return scale
        norm = self.model.get_submodule(self.norms[name])
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None
        return scale * norm.weight.abs() / (norm.running_var + norm.eps).sqrt()

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.model.modules() if isinstance(module, nn.BatchNorm2d)]

    def _weight(self, layer: nn.Module, weight: Tensor, bits: int) -> Tensor:
        scale = layer.weight_scale
        assert isinstance(scale, Tensor)
        share = (weight[0].numel() * most(bits)) ** -0.5
        return _OnLevels.apply(weight, by_channel(scale, weight), -most(bits), most(bits), share)
