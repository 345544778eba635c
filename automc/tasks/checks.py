"""What a task's model and inputs must be, checked before anything else, so that the reason is named where it lies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc.errors import TaskError
from automc.tasks._base import Inputs, Split, call


def check_model(model: Any) -> None:
    """Raises TaskError unless a model's weights can be read, cut and refitted: float32, on the CPU, all finite."""
    if not isinstance(model, nn.Module):
        raise TaskError(f"the task's model is a {type(model).__name__}; model() must return a torch.nn.Module")
    if isinstance(model, torch.jit.ScriptModule):
        raise TaskError(
            "the task's model is compiled by torch.jit, which hides its layers; return the model before that"
        )
    for holder, module in model.named_modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            what = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
            _check_tensor(tensor, f"the model's {what} '{holder}.{name}' ({type(module).__name__})".replace("'.", "'"))


def _check_tensor(tensor: Tensor, named: str) -> None:
    if nn.parameter.is_lazy(tensor):
        raise TaskError(f"{named} has no shape yet; run the model once in model()")
    if tensor.device.type != "cpu":
        raise TaskError(f"{named} is on {tensor.device}; return the model on the CPU: .cpu()")
    if not tensor.is_floating_point() and not tensor.is_complex():
        return
    if tensor.dtype != torch.float32:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise TaskError(f"{named} is in {kind}; return the model in float32: .float()")
    # a buffer may hold -inf, as masks do
    if tensor.isnan().any() or (isinstance(tensor, nn.Parameter) and not _finite(tensor)):
        raise TaskError(f"{named} has values that are not finite; train or load the model again")


def check_inputs(inputs: Any, batch: int, split: Split = "train") -> None:
    """Raises TaskError unless example inputs are a tensor, or a dict of them, with at least ``batch`` examples."""
    if not isinstance(inputs, Tensor | dict) or not all(torch.is_tensor(leaf) for leaf in pytree.tree_leaves(inputs)):
        raise TaskError(f"the task's inputs are a {type(inputs).__name__}; they must be a tensor or a dict of tensors")
    for name, tensor in inputs.items() if isinstance(inputs, dict) else [("inputs", inputs)]:
        if tensor.device.type != "cpu":
            raise TaskError(f"the task's {name} are on {tensor.device}; batches() must give tensors on the CPU")
        if not tensor.ndim or len(tensor) < batch:
            count = len(tensor) if tensor.ndim else 0
            raise TaskError(f"the task's split '{split}' gives {count} examples of {name}, expected {batch} at least")


@torch.no_grad()
def check_outputs(model: nn.Module, inputs: Inputs) -> None:
    """Raises TaskError where a model puts out what is not finite, with the module that does so first, or no floats.

    Whatever else goes wrong in the model is left to whoever runs it next.
    """
    first: list[str] = []

    def listen(name: str, output: Any) -> None:
        if not first and not all(map(_finite, pytree.tree_leaves(output))):
            first.append(name)

    handles = [
        module.register_forward_hook(lambda _, args, output, name=name: listen(name, output))
        for name, module in model.named_modules()
    ]
    training = model.training
    try:
        outputs = call(model.eval(), inputs)
    except Exception:  # it may raise anything; whoever reads the model next says so with its place
        return
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    tensors = [leaf for leaf in pytree.tree_leaves(outputs) if torch.is_tensor(leaf)]
    if tensors and not any(tensor.is_floating_point() for tensor in tensors):
        raise TaskError("the model returns whole numbers only; let it return logits, and score make classes of them")
    if not all(map(_finite, tensors)):
        where = f"; module '{first[0]}' is the first" if first and first[0] else ""
        raise TaskError(f"the model's outputs for the first examples of 'train' are not all finite{where}")


def _finite(leaf: Any) -> bool:
    return not (torch.is_tensor(leaf) and leaf.is_floating_point()) or bool(leaf.isfinite().all())
