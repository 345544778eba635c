"""Recovery without training: each layer's weights refitted to what the original layer put out.

As in AMC, after channel pruning by He et al. (ICCV 2017): minimise ||Y - X W||^2 over sampled positions, where Y is
the original's output and X the compressed network's input of the layer, here with a ridge towards the weights that
the layer has.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automc.compression.apply import Compressed
from automc.graph import ModelGraph
from automc.tasks import Inputs, call

Layer = nn.Conv2d | nn.Linear

_POSITIONS = 16
_RIDGE = 1e-3
_STRIPS = 4


class LeastSquares:
    """Refits compressed copies of one network.

    What the original puts out is computed once; a refit is then one forward pass of the compressed network in which
    every layer is refitted just before it runs, so that each sees what the layers before it really give. Layers that
    run before anything has changed see what they saw in the original: they are left exactly as they are.

    Args:
        model: the original network.
        graph: its graph.
        inputs: calibration inputs, all in one batch.
        seed: seeds the sampled positions.
    """

    def __init__(self, model: nn.Module, graph: ModelGraph, inputs: Inputs, seed: int = 0) -> None:
        self._graph, self._inputs = graph, inputs
        self._generator = torch.Generator().manual_seed(seed)
        self._positions: dict[str, Tensor] = {}
        self._targets: dict[str, Tensor] = {}
        self._order: list[str] = []
        calls: dict[str, int] = {}
        original = copy.deepcopy(model).eval()
        for name, layer in original.named_modules():
            layer.register_forward_pre_hook(lambda *_, name=name: self._order.append(name))
            if _refittable(layer):
                layer.register_forward_hook(self._note(name, calls))
        with torch.no_grad():
            call(original, inputs)
        # a layer that runs twice has two targets and one weight: it is left alone
        for name, count in calls.items():
            if count > 1:
                del self._targets[name]

    @torch.no_grad()
    def refit(self, compressed: Compressed) -> None:
        """Refits the layers of a compressed network, in place.

        The forward pass may run under autocast without its cache; sampled rows are refitted in float32.
        """
        outputs = _kept_outputs(self._graph, compressed.kept)
        as_it_was = self._before(_changed(self._graph, compressed))
        handles = []
        for name, layer in compressed.model.named_modules():
            if name in self._targets and name not in as_it_was and _refittable(layer):
                target = self._targets[name]
                if name in outputs:
                    target = target[:, outputs[name]]
                handles.append(layer.register_forward_pre_hook(self._refitter(name, target)))
        try:
            call(compressed.model, self._inputs)
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, changed: set[str]) -> set[str]:
        """Returns the modules that run before the first of those that changed."""
        return set(itertools.takewhile(lambda name: name not in changed, self._order))

    def _note(self, name: str, calls: dict[str, int]) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            rows = output.movedim(1, -1) if isinstance(layer, nn.Conv2d) else output
            rows = rows.reshape(len(output), -1, rows.shape[-1])  # (examples, positions, channels)
            count = min(_POSITIONS, rows.shape[1])
            chosen = torch.rand(rows.shape[:2], generator=self._generator).argsort(1)[:, :count]
            self._positions[name] = chosen
            bias = getattr(layer, "bias", None)
            sampled = rows.gather(1, chosen[:, :, None].expand(-1, -1, rows.shape[-1])).flatten(0, 1)
            self._targets[name] = sampled - bias if bias is not None else sampled

        return hook

    def _refitter(self, name: str, target: Tensor) -> Any:
        def hook(layer: Layer, args: tuple[Any, ...]) -> None:
            with torch.autocast("cpu", enabled=False):
                rows = _sampled_inputs(layer, args[0], self._positions[name])
                weight = _solve(rows, target, _as_matrix(layer.weight))
                if isinstance(layer, nn.Conv2d):
                    weight = weight.unflatten(1, (*layer.kernel_size, -1)).movedim(-1, 1)
                layer.weight.copy_(weight)

        return hook


def _refittable(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return isinstance(layer, nn.Linear)


def _as_matrix(weight: Tensor) -> Tensor:
    """Returns a weight as (outputs, inputs), a convolution's inputs in the order (kh, kw, channels)."""
    return weight.movedim(1, -1).flatten(1)


def _sampled_inputs(layer: Layer, inputs: Tensor, positions: Tensor) -> Tensor:
    """Returns what the layer reads at the positions (examples, P) of its output, as rows (examples * P, inputs).

    A convolution's inputs are in the order (kh, kw, channels): so each pixel of a window is copied in one piece.
    """
    if not isinstance(layer, nn.Conv2d):
        pixels = inputs.reshape(len(inputs), -1, inputs.shape[-1])  # (examples, positions, channels)
        start = torch.arange(len(pixels))[:, None] * pixels.shape[1]
        return pixels.flatten(0, 1).index_select(0, (start + positions).flatten()).float()
    assert not isinstance(layer.padding, str)
    (ph, pw), (sh, sw), (dh, dw), (kh, kw) = layer.padding, layer.stride, layer.dilation, layer.kernel_size
    examples, channels, height, width = inputs.shape
    across = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    # (examples, P, kh, kw)
    row = (positions // across * sh - ph)[:, :, None, None] + (torch.arange(kh) * dh)[:, None]
    column = (positions % across * sw - pw)[:, :, None, None] + torch.arange(kw) * dw
    padding = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    start = torch.arange(examples)[:, None, None, None] * height
    pixel = (start + row.clamp(0, height - 1)) * width + column.clamp(0, width - 1)
    pixels = inputs.permute(0, 2, 3, 1).reshape(-1, channels)  # no copy where channels are last in memory
    windows = pixels.index_select(0, pixel.flatten()).float()
    windows.index_fill_(0, padding.flatten().nonzero().flatten(), 0)
    return windows.view(positions.numel(), -1)


def _solve(rows: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Returns the weight (outputs, inputs) that brings rows (n, inputs) nearest to the target (n, outputs).

    Products are in float32, the solution in float64. A ridge towards the present weight keeps directions that the
    samples do not determine.
    """
    size = rows.shape[1]
    gram = rows.new_zeros(size, size, dtype=torch.float64)
    for part in torch.arange(size).tensor_split(_STRIPS):  # the lower triangle is all that is read, so strips of it
        if len(part):
            first, end = int(part[0]), int(part[-1]) + 1
            gram[first:end, :end] = rows[:, first:end].T @ rows[:, :end]
    ridge = _RIDGE * gram.diagonal().mean().clamp(min=1e-12)
    gram.diagonal().add_(ridge)
    moment = (rows.T @ target).double() + ridge * weight.T
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed:  # rounding made it indefinite
        return torch.linalg.solve(gram.tril() + gram.tril(-1).T, moment).T
    return torch.cholesky_solve(moment, factor).T


def _changed(graph: ModelGraph, compressed: Compressed) -> set[str]:
    """Returns the modules that a policy changed themselves."""
    groups = (group for group in graph.groups if group.name in compressed.kept)
    return {member.module for group in groups for member in group.members} | set(compressed.dropped)


def _kept_outputs(graph: ModelGraph, kept: Mapping[str, tuple[int, ...]]) -> dict[str, list[int]]:
    """Returns, for each layer that loses outputs, the positions of those that stay."""
    removed: dict[str, set[int]] = {}
    sizes: dict[str, int] = {}
    for group in graph.groups:
        if group.name not in kept:
            continue
        gone = set(range(group.channels)) - set(kept[group.name])
        for member in group.members:
            if member.role == "out" and member.tensor is None:
                removed.setdefault(member.module, set()).update(member.of(gone))
    for weight in graph.weights:
        sizes.setdefault(weight.name.rpartition(".")[0], weight.shape[0] if weight.shape else 0)
    return {
        name: [position for position in range(sizes[name]) if position not in positions]
        for name, positions in removed.items()
    }
