"""Recovery without training: each layer's weights refitted to what the original layer put out.

As in AMC, after channel pruning by He et al. (ICCV 2017): minimise ||Y - X W||^2 over sampled positions, where Y is
the original's output and X the compressed network's input of the layer, here with a ridge towards the weights that
the layer has.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automc.compression.apply import Compressed
from automc.graph import ModelGraph
from automc.tasks import Inputs, call

Layer = nn.Conv2d | nn.Linear

_POSITIONS = 16
_RIDGE = 1e-3


class LeastSquares:
    """Refits compressed copies of one network.

    What the original puts out is computed once; a refit is then one forward pass of the compressed network in which
    every layer is refitted just before it runs, so that each sees what the layers before it really give.

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
        calls: dict[str, int] = {}
        original = copy.deepcopy(model).eval()
        for name, layer in original.named_modules():
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
        """Refits the layers of a compressed network, in place."""
        outputs = _kept_outputs(self._graph, compressed.kept)
        handles = []
        for name, layer in compressed.model.named_modules():
            if name in self._targets and _refittable(layer):
                target = self._targets[name]
                if name in outputs:
                    target = target[:, outputs[name]]
                handles.append(layer.register_forward_pre_hook(self._refitter(name, target)))
        try:
            call(compressed.model, self._inputs)
        finally:
            for handle in handles:
                handle.remove()

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
            rows = _sampled_inputs(layer, args[0], self._positions[name])
            weight = layer.weight.flatten(1).T  # (inputs, outputs)
            residual = target - rows @ weight
            gram = (rows.T @ rows).double()
            # a ridge towards the present weights keeps directions that the samples do not determine
            gram.diagonal().add_(_RIDGE * gram.diagonal().mean().clamp(min=1e-12))
            change = torch.linalg.solve(gram, (rows.T @ residual).double())
            layer.weight.copy_((weight + change).T.reshape(layer.weight.shape))

        return hook


def _refittable(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return isinstance(layer, nn.Linear)


def _sampled_inputs(layer: Layer, inputs: Tensor, positions: Tensor) -> Tensor:
    """Returns what the layer reads at the positions (examples, P) of its output, as rows (examples * P, inputs)."""
    if not isinstance(layer, nn.Conv2d):
        rows = inputs.reshape(len(inputs), -1, inputs.shape[-1])
        return rows.gather(1, positions[:, :, None].expand(-1, -1, rows.shape[-1])).flatten(0, 1)
    assert not isinstance(layer.padding, str)
    (ph, pw), (sh, sw), (dh, dw), (kh, kw) = layer.padding, layer.stride, layer.dilation, layer.kernel_size
    padded = F.pad(inputs, (pw, pw, ph, ph))
    width = (padded.shape[3] - dw * (kw - 1) - 1) // sw + 1
    rows_at = (positions // width * sh)[:, :, None, None] + (torch.arange(kh) * dh)[:, None]
    columns_at = (positions % width * sw)[:, :, None, None] + torch.arange(kw) * dw
    example = torch.arange(len(inputs))[:, None, None, None]
    # advanced indices around a slice put the channels last: (examples, P, kh, kw, channels)
    windows = padded[example, :, rows_at, columns_at]
    return windows.permute(0, 1, 4, 2, 3).flatten(0, 1).flatten(1)


def _kept_outputs(graph: ModelGraph, kept: Mapping[str, tuple[int, ...]]) -> dict[str, list[int]]:
    """Returns, for each layer that loses outputs, the positions of those that stay."""
    removed: dict[str, set[int]] = {}
    sizes: dict[str, int] = {}
    for group in graph.groups:
        if group.name not in kept:
            continue
        gone = set(range(group.channels)) - set(kept[group.name])
        for member in group.members:
            if member.role == "out":
                removed.setdefault(member.module, set()).update(member.of(gone))
    for weight in graph.weights:
        sizes.setdefault(weight.name.rpartition(".")[0], weight.shape[0] if weight.shape else 0)
    return {
        name: [position for position in range(sizes[name]) if position not in positions]
        for name, positions in removed.items()
    }
