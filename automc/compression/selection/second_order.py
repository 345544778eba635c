"""Optimal Brain Surgeon over all weights that read a channel.

Source: Hassibi and Stork, NeurIPS 1992; with blocks of weights: Kurtic et al., EMNLP 2022.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from automc.compression.calibration import Calibration, count
from automc.compression.rows import Sampler, as_matrix, gram, is_matrix, positions_of, sampled_inputs
from automc.compression.selection._base import Positions, Selector, layers_of
from automc.compression.selection.magnitude import Magnitude
from automc.errors import TaskError
from automc.graph import Group, ModelGraph
from automc.tasks import call

_POSITIONS = 16
_RIDGE = 1e-2
_BATCH = 128
_MOST = 3072  # inputs of a layer: the square of it is kept, the cube of it computed


class SecondOrder(Selector):
    """Scores a channel by what its readers' outputs lose without it, after the remaining weights have made up for it.

    A layer with weights W that reads rows X has H = XᵀX. Without the columns q of a channel, and with all other weights
    updated as well as they can be, its output's error rises by tr(W_q ([H⁻¹]_qq)⁻¹ W_qᵀ). The channel for which that is
    least is eliminated, W and H⁻¹ are updated, and so on. A channel's score is the error when it has gone with all that
    went before it, so that the scores have the order of elimination. Several readers lose a channel together; each
    one's error counts as a share of its output's energy. The updated weights are not used: least squares finds better
    ones, from what the compressed network really gives.

    A layer that is too large for the inverse, or in which channels differ in their number of positions, is scored
    without that compensation: tr(W_q H_qq W_qᵀ). A group that no plain layer reads is scored by `Magnitude`.
    """

    cumulative: ClassVar[bool] = True

    @torch.no_grad()
    def scores(self, model: nn.Module, graph: ModelGraph, calibration: Calibration) -> dict[str, Tensor]:
        """Returns, for each prunable group, scores (channels,).

        Raises:
            TaskError: a layer reads values that are not finite.
        """
        readers = {group.name: _readers(model, group) for group in graph.prunable}
        hessians = _hessians(model, {name for layers in readers.values() for name in layers}, calibration)
        scores = {}
        for group in graph.prunable:
            parts = [
                _part(model.get_submodule(name), hessians[name], positions)
                for name, positions in readers[group.name].items()
                if name in hessians
            ]
            scores[group.name] = _eliminate(parts, group.channels) if parts else Magnitude().of_group(model, group)
        return scores


@dataclass
class _Part:
    """One reader of a group.

    Attributes:
        weight: (outputs, inputs), updated as channels go.
        columns: (channels, K) which inputs belong to each channel.
        energy: of the layer's output on calibration examples.
        inverse: of the Hessian (inputs, inputs), updated likewise; None where channels do not make up for each other.
        alone: (channels,) what the output loses without each channel alone, where there is no inverse.
    """

    weight: Tensor
    columns: Tensor
    energy: Tensor
    inverse: Tensor | None = None
    alone: Tensor | None = None

    def losses(self, alive: Tensor) -> Tensor:
        """Returns what is lost (A,) without each of the channels (A,), as a share."""
        if self.inverse is None:
            assert self.alone is not None
            return self.alone[alive] / self.energy
        columns = self.columns[alive]
        blocks = self.inverse[columns[:, :, None], columns[:, None, :]]  # (A, K, K)
        weights = self.weight[:, columns].permute(1, 2, 0)  # (A, K, outputs)
        return (weights * torch.linalg.solve(blocks, weights)).sum((1, 2)) / self.energy

    def remove(self, channel: int) -> None:
        """Takes a channel away and lets the others make up for it."""
        if self.inverse is None:
            return
        columns = self.columns[channel]
        across = self.inverse[columns]  # (K, inputs)
        scaled = torch.linalg.solve(across[:, columns], across)
        self.weight.addmm_(self.weight[:, columns], scaled, alpha=-1)
        self.inverse.addmm_(across.T, scaled, alpha=-1)


def _readers(model: nn.Module, group: Group) -> dict[str, Positions]:
    """Returns the layers that are matrices and read a group's channels."""
    return {
        name: positions
        for name, positions in layers_of(model, group, "in").items()
        if is_matrix(model.get_submodule(name))
    }


def _hessians(model: nn.Module, names: Collection[str], calibration: Calibration) -> dict[str, Tensor]:
    """Returns XᵀX (inputs, inputs), lower triangles in float32, of what layers read at sampled positions."""
    copied = copy.deepcopy(model).eval()
    sampler = Sampler(count(calibration.inputs), _POSITIONS, calibration.seed)
    found: dict[str, Tensor] = {}
    start = 0

    def note(name: str, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        positions = sampler.positions(positions_of(layer, output))[start : start + len(output)]
        with torch.autocast("cpu", enabled=False):
            product = gram(sampled_inputs(layer, args[0], positions)).float()
        found[name] = product.add_(found[name]) if name in found else product

    for name in names:
        layer = copied.get_submodule(name)
        layer.register_forward_hook(lambda layer, args, output, name=name: note(name, layer, args, output))
    for inputs, _ in calibration.batches(_BATCH):
        with calibration.context():
            call(copied, inputs)
        start += count(inputs)
    for name, product in found.items():
        if not product.isfinite().all():
            raise TaskError(f"layer '{name}' reads values that are not finite on calibration examples")
    return found


def _part(layer: nn.Module, hessian: Tensor, positions: Positions) -> _Part:
    """Returns what eliminating channels from a layer needs."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    weight = as_matrix(layer.weight.detach()).double()
    size = weight.shape[1]
    taps = torch.arange(0, size, layer.weight.shape[1])[:, None]  # a convolution's columns are in the order (kh, kw, C)
    columns = [(taps + torch.tensor(several)).flatten() for several in positions]
    full = (hessian.tril() + hessian.tril(-1).T).double()
    energy = ((weight @ full) * weight).sum().clamp(min=1e-30)
    if size > _MOST or len({len(several) for several in columns}) > 1:
        alone = [((weight[:, q] @ full[q][:, q]) * weight[:, q]).sum() for q in columns]
        return _Part(weight, torch.empty(0), energy, alone=torch.stack(alone))
    full.diagonal().add_(_RIDGE * full.diagonal().mean().clamp(min=1e-12))
    return _Part(weight, torch.stack(columns), energy, inverse=torch.linalg.inv(full))


def _eliminate(parts: Sequence[_Part], channels: int) -> Tensor:
    """Returns for each channel (channels,) the share that is lost when it goes, with all that go before it."""
    scores = torch.empty(channels, dtype=torch.float64)
    alive, lost = list(range(channels)), 0.0
    while alive:
        losses = sum((part.losses(torch.tensor(alive)) for part in parts), torch.zeros(len(alive), dtype=torch.float64))
        least = int(losses.argmin())
        lost += max(float(losses[least]), 0.0)
        channel = alive.pop(least)
        scores[channel] = lost
        for part in parts:
            part.remove(channel)
    return scores
