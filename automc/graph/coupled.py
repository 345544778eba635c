"""Which layers share channels, as torch-pruning sees it (DepGraph, Fang et al., CVPR 2023)."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automc.errors import TraceError, one_line
from automc.graph.layouts import Layout
from automc.graph.ops import Call, Calls
from automc.graph.shrink import Slice, prune_convolution_groups, prune_group_norm
from automc.tasks import Inputs, call


@dataclass(frozen=True)
class Item:
    """One side of a module, or a bare tensor, with channels that others have too.

    Attributes:
        module: the module's name; of a bare tensor, that of the module that holds it.
        role: ``out`` if they are its output channels, ``in`` if they are its input.
        prune: removes positions from such a module, in place.
        size: how many positions there are.
        pairs: (position, channel of the root) of those that are coupled; the channel is None where nobody can say.
        layout: how they lie where only runs of them can go.
        tensor: a bare tensor's name in its module, else None.
        strange: why nothing can be removed here, or None.
    """

    module: str
    role: str
    prune: Callable[[nn.Module, Sequence[int]], Any]
    size: int
    pairs: tuple[tuple[int, int | None], ...]
    layout: Layout | None = None
    tensor: str | None = None
    strange: str | None = None


@dataclass(frozen=True)
class Coupled:
    """What shares channels with a layer, the root.

    Attributes:
        name: the root's name.
        channels: its outputs.
        items: all that they touch, the root first.
    """

    name: str
    channels: int
    items: tuple[Item, ...]


def find_coupled(model: nn.Module, inputs: Inputs, cuts: Iterable[Call] = ()) -> list[Coupled]:
    """Returns what shares channels, unprobed.

    Args:
        model: the network; it is not changed.
        inputs: example inputs.
        cuts: calls of torch functions behind whose results nothing is followed.

    Raises:
        TraceError: the network cannot be traced.
    """
    import torch_pruning

    bare = _with_parameters(model)
    model = copy.deepcopy(model).eval().requires_grad_(True)
    for holder, name in bare:
        module = model.get_submodule(holder)
        buffer = module._buffers.pop(name)
        assert buffer is not None
        module._parameters[name] = nn.Parameter(buffer)
    cut, ends = set(cuts), list[Tensor]()

    def after(made: Call, result: Any) -> Any:
        if made not in cut:
            return result
        ends.append(result)  # so that what leads there is found although nothing follows
        return result.detach()

    def forward(model: nn.Module, inputs: Inputs) -> Any:
        with Calls(after):
            return call(model, inputs)

    # it prints warnings that mean nothing to our users
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), torch.enable_grad():
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(
                model, inputs, forward, lambda outputs: [_tensors(outputs), ends], verbose=False
            )
            groups = list(graph.get_all_groups(root_module_types=[nn.modules.conv._ConvNd, nn.Linear]))
        except Exception as error:
            raise TraceError(f"the model cannot be traced: {one_line(error, 160)}") from error
    names: dict[Any, str] = {module: name for name, module in model.named_modules()}
    holders = {
        parameter: (holder, name)
        for holder, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    }
    found = []
    for group in groups:
        items = [_item(graph, entry, names, holders) for entry in group]
        root = group[0].dep.target.module
        found.append(Coupled(names[root], len(group[0].idxs), tuple(item for item in items if item is not None)))
    return found


def _with_parameters(model: nn.Module) -> list[tuple[str, str]]:
    """Returns the buffers that may hold channels, such as fixed embeddings of positions, as (module, name)."""
    known = (nn.modules.batchnorm._NormBase, nn.MultiheadAttention, nn.RNNBase)
    return [
        (holder, name)
        for holder, module in model.named_modules()
        for name, tensor in module.named_buffers(recurse=False)
        if not isinstance(module, known) and tensor.is_floating_point() and tensor.ndim and tensor.shape[-1] > 1
    ]


def _tensors(outputs: Any) -> list[Tensor]:
    from torch.utils import _pytree as pytree

    leaves = pytree.tree_leaves(outputs)
    return [leaf for leaf in leaves if torch.is_tensor(leaf) and leaf.grad_fn is not None]


def _item(graph: Any, entry: Any, names: dict[Any, str], holders: dict[Any, tuple[str, str]]) -> Item | None:
    module, handler = entry.dep.target.module, entry.dep.handler
    pairs = tuple(zip(entry.idxs, entry.root_idxs, strict=True))
    role = "out" if graph.is_out_channel_pruning_fn(handler) else "in"
    if isinstance(module, nn.Parameter):
        holder, name = holders[module]
        dim = _dim(module, 1 + max(position for position, _ in pairs))
        strange = None if dim is not None else f"its channels do not match those of the parameter {holder}.{name}"
        return Item(holder, "out", Slice(name, dim or 0), module.shape[dim or 0], pairs, None, name, strange)
    if module not in names:  # an operator without weights
        return None
    name = names[module]
    size = (graph.get_out_channels if role == "out" else graph.get_in_channels)(module)
    if size is None:  # a PReLU with one slope for all channels
        return None
    layout = strange = None
    if isinstance(module, nn.MultiheadAttention):
        strange = f"it runs through {name}, an nn.MultiheadAttention, which is as wide inside as outside"
    elif isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1:
        strange = f"{name} normalises over more than the channels"
    elif isinstance(module, nn.GroupNorm):
        handler = prune_group_norm
        if 1 < module.num_groups < module.num_channels:
            layout = Layout((module.num_groups, module.num_channels // module.num_groups), 0)
    elif isinstance(module, nn.modules.conv._ConvNd) and _is_grouped(module):
        layout = Layout((module.groups, size // module.groups), 0)
        handler = prune_convolution_groups if role == "out" else handler
        if module.transposed or module.groups == module.out_channels:
            strange = f"it touches the grouped convolution {name}, whose groups cannot be removed"
    return Item(name, role, handler, size, pairs, layout, None, strange)


def _dim(tensor: Tensor, size: int) -> int | None:
    """Returns which dimension of a bare tensor holds so many channels: the last of that size."""
    fits = [dim for dim in range(tensor.ndim) if tensor.shape[dim] == size]
    return fits[-1] if fits else None


def _is_grouped(module: nn.modules.conv._ConvNd) -> bool:
    """Says whether a module is a convolution with groups, other than one filter for each channel."""
    return not (module.groups == 1 or module.groups == module.in_channels == module.out_channels)
