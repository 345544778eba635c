"""What a network must be before it is read: float32, on the processor, with finite weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from automc.errors import TraceError
from automc.tasks import Inputs


def check_accepted(model: nn.Module, inputs: Inputs) -> None:
    """Refuses networks that would only fail later, or lead to nonsense.

    Raises:
        TraceError: a weight is in another precision, on another device, not made yet, infinite or NaN; or an input is
            on another device.
    """
    if not isinstance(model, nn.Module):
        raise TraceError(f"the model is a {type(model).__name__}, not a torch.nn.Module")
    for holder, module in model.named_modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in tensors:
            where = f"'{holder}.{name}'".replace("'.", "'") + f" ({type(module).__name__})"
            if is_lazy(tensor):
                raise TraceError(f"the weight {where} has no shape yet; run the model once before it is handed over")
            if tensor.device.type != "cpu":
                raise TraceError(f"the weight {where} is on device '{tensor.device}'; move the model to the CPU")
            if not tensor.is_floating_point() and not tensor.is_complex():
                continue
            if tensor.dtype != torch.float32:
                kind = str(tensor.dtype).removeprefix("torch.")
                raise TraceError(f"the weight {where} is in {kind}; hand over a model in float32: model.float()")
            if (isinstance(tensor, nn.Parameter) and not tensor.isfinite().all()) or tensor.isnan().any():
                bad = "NaN" if tensor.isnan().any() else "infinite"
                raise TraceError(f"the weight {where} holds values that are {bad}; train or load it again")
    for leaf in pytree.tree_leaves(inputs):
        if isinstance(leaf, Tensor) and leaf.device.type != "cpu":
            raise TraceError(f"an example input is on device '{leaf.device}'; the task must give inputs on the CPU")
