"""Rounding weights by what it does to a layer's output, not one by one.

Layer by layer in the order in which they run, on what the quantized network really gives them: the weights are first
refitted by least squares to what the layer put out in float, then rounded column by column, the error of each column
being made up for by those that are still free (GPTQ, Frantar et al., ICLR 2023, after Hassibi and Stork's optimal
brain surgeon). The bias takes up the shift of the mean (Nagel et al., ICCV 2019). What reads activations is calibrated
anew just before.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from automc.compression.calibration import count
from automc.compression.quantization.clipping import weight_scales
from automc.compression.quantization.levels import put_on_levels
from automc.compression.quantization.network import Quantized, most
from automc.compression.quantization.quantizer import Quantizer
from automc.compression.quantization.wiring import INPUT_QUANTIZER
from automc.compression.rows import (
    Layer,
    Sampler,
    as_matrix,
    can_be_sampled,
    from_matrix,
    positions_of,
    sampled_inputs,
    sampled_outputs,
)
from automc.tasks import Inputs, call

_POSITIONS = 16  # of each example
_RIDGE = 1e-2  # of the refit, towards the weights as they are, as a share of the mean diagonal
_DAMPING = 1e-2  # GPTQ's, likewise
_BLOCK = 64  # columns whose corrections are handed on together


@torch.no_grad()
def round_in_order(quantized: Quantized, model: nn.Module, inputs: Inputs, names: Collection[str], seed: int) -> None:
    """Rounds the weights of these layers anew, in place.

    Args:
        quantized: the calibrated network; layers that cannot be sampled stay as they are.
        model: the same network in float.
        inputs: calibration inputs.
        names: the layers.
        seed: seeds the sampled positions.
    """
    names = [name for name in names if can_be_sampled(quantized.model.get_submodule(name))]
    targets = _Targets(model, {name: quantized.norms.get(name, name) for name in names}, inputs, seed)
    weights = {name: quantized.float_weight(model, name) for name in names}

    def adjust(name: str, x: Tensor) -> None:
        layer = quantized.model.get_submodule(name)
        quantizer = getattr(layer, INPUT_QUANTIZER, None)
        with torch.autocast("cpu", enabled=False):
            if isinstance(quantizer, Quantizer):
                quantizer.calibrate(x)
                x = quantizer(x)
            if name in targets.values:
                assert isinstance(layer, nn.Conv2d | nn.Linear)
                rows = sampled_inputs(layer, x, targets.positions[name])
                bits = quantized.bits[name][0]
                _round(layer, weights[name], rows, targets.values[name], bits, quantized.weight_clipping(bits))

    quantized.run(inputs, adjust)
    quantized.round_biases()


class _Targets:
    """What layers of a network give, BatchNorm included, at sampled positions.

    Attributes:
        positions: for each layer, (examples, P) numbers of positions.
        values: (examples * P, channels) what it gives there; of layers that run once.
    """

    def __init__(self, model: nn.Module, heard: dict[str, str], inputs: Inputs, seed: int) -> None:
        self.positions: dict[str, Tensor] = {}
        self.values: dict[str, Tensor] = {}
        self._sampler = Sampler(count(inputs), _POSITIONS, seed)
        model = copy.deepcopy(model).eval()
        for name, last in heard.items():
            model.get_submodule(last).register_forward_hook(self._note(name, model.get_submodule(name)))
        call(model, inputs)

    def _note(self, name: str, layer: nn.Module) -> Any:
        assert isinstance(layer, nn.Conv2d | nn.Linear)

        def hook(last: nn.Module, args: Any, output: Tensor) -> None:
            self.positions[name] = self._sampler.positions(positions_of(layer, output))
            self.values[name] = sampled_outputs(layer, output, self.positions[name])

        return hook


def _round(layer: Layer, weight: Tensor, rows: Tensor, target: Tensor, bits: int, clipping: str) -> None:
    """Gives a layer new levels, their scales and a bias, in place.

    Args:
        layer: the layer, its weights on levels.
        weight: its weights in float, BatchNorm folded in.
        rows: (n, inputs) what it reads, a convolution's in the order (kh, kw, channels).
        target: (n, outputs) what it gave in float.
        bits: of its weights.
        clipping: how scales are chosen.
    """
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    matrix = as_matrix(weight) if isinstance(layer, nn.Conv2d) else weight
    matrix = matrix.unflatten(0, (groups, -1))  # (groups, outputs, inputs), outputs and inputs those of a group
    kernel = layer.kernel_size[0] * layer.kernel_size[1] if isinstance(layer, nn.Conv2d) else 1
    # (groups, n, inputs)
    windows = rows.view(len(rows), kernel, groups, -1).permute(2, 0, 1, 3).flatten(2)
    wanted = target.unflatten(1, (groups, -1)).movedim(1, 0)  # (groups, n, outputs)
    bias = layer.bias if isinstance(layer.bias, Tensor) else None
    mean_in, mean_out = windows.mean(1, keepdim=True), wanted.mean(1, keepdim=True)
    if bias is None:
        mean_in, mean_out = torch.zeros_like(mean_in), torch.zeros_like(mean_out)
    gram = ((windows - mean_in).mT @ (windows - mean_in)).double()
    moment = ((windows - mean_in).mT @ (wanted - mean_out)).double()
    fitted = _refit(gram, moment, matrix.double())
    scale = weight_scales(fitted.flatten(0, 1), clipping, most(bits))
    scale[scale == 0] = 1.0
    levels = _gptq(gram, fitted, scale.view(groups, -1), most(bits))
    if bias is not None:
        steps = levels * scale.view(groups, -1, 1)
        bias.copy_((mean_out - mean_in.double() @ steps.mT).flatten())
    put_on_levels(layer, from_matrix(layer, levels.flatten(0, 1)), scale.float())


def _refit(gram: Tensor, moment: Tensor, weight: Tensor) -> Tensor:
    """Returns the weights (groups, outputs, inputs) nearest to the target by least squares, with a ridge."""
    ridge = _RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)[:, None, None]
    damped = gram + ridge * torch.eye(gram.shape[1], dtype=gram.dtype)
    return torch.linalg.solve(damped, moment + ridge * weight.mT).mT


def _gptq(gram: Tensor, weight: Tensor, scale: Tensor, largest: int) -> Tensor:
    """Returns levels (groups, outputs, inputs), columns that matter most first, each error handed on to the others."""
    diagonal = gram.diagonal(dim1=1, dim2=2)
    damping = _DAMPING * diagonal.mean(1).clamp(min=1e-12)
    order = diagonal.argsort(dim=1, descending=True)
    back = order.argsort(1)
    size = gram.shape[1]
    damped = gram + damping[:, None, None] * torch.eye(size, dtype=gram.dtype)
    damped = damped.gather(1, order[:, :, None].expand_as(damped)).gather(2, order[:, None].expand_as(damped))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor = torch.linalg.cholesky(inverse, upper=True)
    rest = weight.gather(2, order[:, None].expand_as(weight)).clone()
    levels = torch.empty_like(rest)
    for start in range(0, size, _BLOCK):
        end = min(start + _BLOCK, size)
        errors = torch.empty_like(rest[:, :, start:end])
        for column in range(start, end):
            level = (rest[:, :, column] / scale).round_().clamp_(-largest, largest)
            levels[:, :, column] = level
            error = (rest[:, :, column] - level * scale) / factor[:, column, column, None]
            rest[:, :, column:end] -= error[:, :, None] * factor[:, None, column, column:end]
            errors[:, :, column - start] = error
        rest[:, :, end:] -= errors @ factor[:, start:end, end:]
    return levels.gather(2, back[:, None].expand_as(levels))
