"""One refit: a forward pass of the compressed network in which each layer gets new weights before it is used."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from automc.compression.calibration import count, take
from automc.compression.lockstep import Lockstep
from automc.compression.normal_equations import NormalEquations
from automc.compression.rows import Layer, as_matrix, from_matrix, is_matrix, sampled_inputs, sampled_outputs
from automc.compression.sites import Site
from automc.compression.sums import Sums
from automc.errors import TaskError
from automc.tasks import Inputs, call

_SMALL = 1e-2  # scales of a BatchNorm below this share of their mean: dividing by them only makes noise


@dataclass(frozen=True)
class Target:
    """What a layer is refitted to.

    Attributes:
        rows: (examples * P, outputs) what the original gave at sampled positions.
        positions: (examples, P) these positions.
        summed: whether ``rows`` are of the sum into which the layer's result goes.
        site: what follows the layer.
    """

    rows: Tensor
    positions: Tensor
    summed: bool
    site: Site | None

    def of_outputs(self, kept: Sequence[int]) -> Target:
        """Returns the target of a layer that has only these of its outputs."""
        return replace(self, rows=self.rows[:, kept])

    def part(self, start: int, size: int) -> Target:
        """Returns the target of some examples."""
        several = self.positions.shape[1]
        rows = self.rows[start * several : (start + size) * several]
        return replace(self, rows=rows, positions=self.positions[start : start + size])


class Refit:
    """Refits one network, in place.

    Args:
        model: the compressed network.
        targets: of the layers that are refitted.
        bias_correction: whether intercepts are refitted too.
    """

    def __init__(self, model: nn.Module, targets: Mapping[str, Target], bias_correction: bool) -> None:
        self._model, self._bias_correction = model, bias_correction
        self._layers = {name: layer for name, layer in model.named_modules() if name in targets and is_matrix(layer)}
        self._targets = {name: targets[name] for name in self._layers}
        self._equations: dict[str, NormalEquations] = {}
        self._local = threading.local()  # the pass of the thread in which a hook runs

    def run(self, inputs: Inputs, batch: int) -> None:
        """Refits all layers to their targets with these inputs, in batches of at most ``batch`` examples."""
        starts = range(0, count(inputs), batch)
        lockstep = Lockstep(len(starts))
        summed = {name: target.site for name, target in self._targets.items() if target.summed}
        sums = Sums(self._model, {name: site for name, site in summed.items() if site is not None})
        autocast = torch.get_autocast_dtype("cpu"), torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()

        def work(number: int) -> None:
            self._local.current = _Pass(self, lockstep, number, starts[number], batch)
            with (
                torch.no_grad(),
                torch.autocast("cpu", autocast[0], enabled=autocast[1], cache_enabled=autocast[2]),
                sums.watch(before=self._local.current.at_sum),
            ):
                call(self._model, take(inputs, starts[number], batch))

        handles = list(sums.handles)
        for name, layer in self._layers.items():

            def hook(_: nn.Module, args: tuple[Any, ...], name: str = name) -> None:
                self._local.current.at_layer(name, args[0])

            handles.append(layer.register_forward_pre_hook(hook))
        try:
            lockstep.run(work)
        finally:
            for handle in handles:
                handle.remove()

    def target(self, name: str) -> Target:
        """Returns the target of a layer."""
        return self._targets[name]

    def layer(self, name: str) -> Layer:
        """Returns a layer."""
        layer = self._layers[name]
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        return layer

    def norm(self, name: str) -> nn.modules.batchnorm._BatchNorm | None:
        """Returns the BatchNorm behind a layer."""
        site = self._targets[name].site
        norm = self._model.get_submodule(site.norm) if site and site.norm else None
        return norm if isinstance(norm, nn.modules.batchnorm._BatchNorm) else None

    def add(self, name: str, inputs: Tensor, target: Target, rows: Tensor) -> None:
        """Takes what a layer reads, and what it is to give at the target's positions."""
        layer = self.layer(name)
        if isinstance(layer.bias, Tensor) and not self._bias_correction:
            rows = rows - layer.bias
        read = sampled_inputs(layer, inputs, target.positions)
        self._equations.setdefault(name, NormalEquations()).add(read, rows)

    def solve(self, name: str) -> None:
        """Gives a layer its new weights."""
        layer, norm = self.layer(name), self.norm(name)
        has_intercept = self._bias_correction and (layer.bias is not None or norm is not None)
        before = as_matrix(layer.weight)
        weight, intercept = self._equations.pop(name).solve(before, has_intercept)
        if self.target(name).summed and norm is not None:
            small = affine(norm)[2]
            weight[small] = before[small]
            if intercept is not None:
                intercept[small] = layer.bias[small] if isinstance(layer.bias, Tensor) else 0.0
        if not weight.isfinite().all():
            raise TaskError(f"layer '{name}' of the compressed network reads values that are not finite")
        layer.weight.copy_(from_matrix(layer, weight))
        if intercept is None:
            return
        if isinstance(layer.bias, Tensor):
            layer.bias.copy_(intercept)
        else:
            assert norm is not None and isinstance(norm.running_mean, Tensor)
            norm.running_mean.sub_(intercept)


class _Pass:
    """One batch's way through the network.

    Args:
        refit: what it is a part of.
        lockstep: with the passes of the other batches.
        number: which batch this is.
        start: its first example.
        size: how many examples a batch has.
    """

    def __init__(self, refit: Refit, lockstep: Lockstep, number: int, start: int, size: int) -> None:
        self._refit, self._lockstep, self._number, self._start, self._size = refit, lockstep, number, start, size
        self._held: dict[str, Tensor] = {}

    def at_layer(self, name: str, inputs: Tensor) -> None:
        """Refits a layer that is about to run; one whose result is added to something waits until then."""
        target = self._refit.target(name)
        if target.summed:
            self._held[name] = inputs
            return
        target = target.part(self._start, self._size)
        with torch.autocast("cpu", enabled=False):
            self._refit.add(name, inputs, target, target.rows)
        self._lockstep.meet(self._number, lambda: self._refit.solve(name))

    def at_sum(self, name: str, result: Tensor, other: Tensor) -> Tensor:
        """Refits a layer whose result is about to be added to something, and returns its new result."""
        inputs, layer, norm = self._held.pop(name), self._refit.layer(name), self._refit.norm(name)
        target = self._refit.target(name).part(self._start, self._size)
        with torch.autocast("cpu", enabled=False):
            rows = target.rows - sampled_outputs(layer, other, target.positions)
            if norm is not None:
                scale, shift, small = affine(norm)
                rows = (rows - shift) / scale.masked_fill(small, 1.0)
            self._refit.add(name, inputs, target, rows)
        self._lockstep.meet(self._number, lambda: self._refit.solve(name))
        made = layer.forward(inputs)  # without its hooks
        return made if norm is None else norm.forward(made)


def affine(norm: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what a BatchNorm multiplies by and adds, and which of its scales are next to nothing (channels,)."""
    assert isinstance(norm.running_mean, Tensor) and isinstance(norm.running_var, Tensor)
    scale = (norm.running_var + norm.eps).rsqrt() * (norm.weight if norm.affine else 1.0)
    shift = (norm.bias if norm.affine else 0.0) - norm.running_mean * scale
    return scale, shift, scale.abs() <= _SMALL * scale.abs().mean()
