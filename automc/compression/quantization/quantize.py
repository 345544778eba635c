"""One call from a network in float to one on levels, without training."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.utils import _pytree as pytree

from automc.compression.bits import Bits
from automc.compression.methods import Methods
from automc.compression.quantization.equalization import equalize
from automc.compression.quantization.network import Quantized
from automc.compression.quantization.rounding import round_in_order
from automc.search_spaces.policy import FLOAT_BITS
from automc.tasks import Inputs


def quantize(
    model: nn.Module, inputs: Inputs, bits: Mapping[str, Bits], methods: Methods | None = None, seed: int = 0
) -> Quantized:
    """Returns the network with some layers in fewer bits.

    Args:
        model: the network in float; it is not changed.
        inputs: calibration inputs: ranges and roundings follow what they give.
        bits: (weight bits, activation bits) of these layers, each 2 to 8, or 32 for float.
        methods: how ranges are chosen and weights are rounded.
        seed: seeds the positions that second-order rounding samples.

    Raises:
        ValueError: a layer cannot run in int8, or cannot be simulated.
    """
    methods = methods or Methods()
    one = pytree.tree_map(lambda tensor: tensor[:1], inputs)
    if methods.equalization:
        model = equalize(model, one, list(bits))
    quantized = Quantized(model, one, bits, methods)
    quantized.calibrate(inputs)
    names = [name for name, (weight_bits, _) in quantized.bits.items() if _second_order(weight_bits, methods)]
    if names:
        round_in_order(quantized, model, inputs, names, seed)
    return quantized


def _second_order(weight_bits: int, methods: Methods) -> bool:
    if weight_bits == FLOAT_BITS:
        return False
    return methods.rounding == "second-order" or (methods.rounding == "auto" and weight_bits < 8)
