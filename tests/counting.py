"""What a network costs as others count it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from automc.compression import Quantized
from automc.costs import Cost, CostModel
from automc.search_spaces import Policy
from automc.tasks import call


def counted(model: nn.Module, inputs: Any) -> Cost:
    """The cost of a network as others count it, for one example; weights of fewer bits than eight as if packed."""
    first = {name: tensor[:1] for name, tensor in inputs.items()} if isinstance(inputs, dict) else inputs[:1]
    # the counter does not know attention as one operator of the processor
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        call(model.eval(), first)
    tensors = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}.values()
    size: float = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    for name, (bits, _) in model.bits.items() if isinstance(model, Quantized) else ():
        weight = model.state_dict()[f"model.{name}.weight"]
        if weight.dtype == torch.int8:
            size -= weight.numel() * (1 - bits / 8)
    return Cost(
        macs=counter.get_total_flops() / 2,
        params=sum(parameter.numel() for parameter in model.parameters()),
        size=size,
    )


def weighed(model: CostModel, policy: Policy) -> Cost:
    """The cost of a policy, as far as it is one for one example: without its memory."""
    return replace(model.cost(policy), memory=None)
