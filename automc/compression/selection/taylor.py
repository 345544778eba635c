"""The first-order change of the loss without a channel (Molchanov et al., CVPR 2019, "Importance Estimation")."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from automc.compression.calibration import Calibration, count
from automc.compression.selection._base import Selector, channel_sums, layers_of
from automc.errors import ConfigError, TaskError
from automc.graph import ModelGraph
from automc.tasks import call

_BATCH = 16


class Taylor(Selector):
    """Scores a channel by Σ_b (Σ g·w)² over small batches b of calibration examples.

    The inner sum is over the weights w that read the channel, in all layers, g being the loss's gradients. It is the
    derivative of the loss with respect to a gate on the channel: exact for several readers, whatever their scales. A
    group that no layer with weights reads is scored by those that make it.
    """

    def scores(self, model: nn.Module, graph: ModelGraph, calibration: Calibration) -> dict[str, Tensor]:
        """Returns, for each prunable group, scores (channels,).

        Raises:
            ConfigError: the task has no loss or no targets.
            TaskError: the loss has gradients that are not finite.
        """
        if calibration.loss is None or calibration.targets is None:
            raise ConfigError("methods.selection: taylor needs a task with targets and a loss; choose second_order")
        copied = copy.deepcopy(model).eval().requires_grad_(False)
        groups = {}
        for group in graph.prunable:
            role = "in" if layers_of(copied, group, "in") else "out"
            groups[group.name] = role, layers_of(copied, group, role)
        read = {name for _, layers in groups.values() for name in layers}
        for name in read:
            weight = copied.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            weight.requires_grad_(True)
        totals = {group.name: torch.zeros(group.channels, dtype=torch.float64) for group in graph.prunable}
        if not read or not count(calibration.inputs):
            return {name: total.float() for name, total in totals.items()}
        for inputs, targets in calibration.batches(_BATCH):
            copied.zero_grad()
            with torch.enable_grad(), calibration.context():
                calibration.loss(call(copied, inputs), targets).float().backward()
            for unit, (role, layers) in groups.items():
                gates = [_gate(copied.get_submodule(name), positions, role) for name, positions in layers.items()]
                totals[unit] += sum(gates, torch.zeros_like(totals[unit])).square()
        for unit, total in totals.items():
            if not total.isfinite().all():
                raise TaskError(f"group '{unit}': the loss's gradients are not finite on calibration examples")
        return totals


@torch.no_grad()
def _gate(layer: nn.Module, positions: tuple[tuple[int, ...], ...], role: str) -> Tensor:
    """Returns the derivative (channels,) of the loss with respect to gates on what a layer reads."""
    assert isinstance(layer.weight, Tensor)
    if layer.weight.grad is None:  # the loss does not depend on it
        return torch.zeros(len(positions), dtype=torch.float64)
    return channel_sums(layer, (layer.weight * layer.weight.grad).double(), positions, role)
