"""One refit: a forward pass of the compressed network in which each layer gets new weights before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from automc.compression.recovery.normal_equations import NormalEquations
from automc.compression.recovery.sites import Site
from automc.compression.recovery.sums import Sums
from automc.compression.rows import Layer, as_matrix, from_matrix, is_matrix, sampled_inputs, sampled_outputs
from automc.errors import TaskError
from automc.tasks import Inputs, call

_EXAMPLES = 512  # of which a layer's rows are in memory at a time
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

    def of_examples(self, most: int) -> Target:
        """Returns the target of the first examples."""
        rows = self.rows[: most * self.positions.shape[1]]
        return replace(self, rows=rows, positions=self.positions[:most])


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
        self._held: dict[str, Tensor] = {}

    @torch.no_grad()
    def run(self, inputs: Inputs) -> None:
        """Refits all layers to their targets with these inputs.

        Raises:
            TaskError: what a layer reads is not finite.
        """
        summed = {name: target.site for name, target in self._targets.items() if target.summed}
        sums = Sums(self._model, {name: site for name, site in summed.items() if site is not None})
        handles = list(sums.handles)
        for name, layer in self._layers.items():
            handles.append(layer.register_forward_pre_hook(lambda _, args, name=name: self._at_layer(name, args[0])))
        try:
            with sums.watch(before=self._at_sum):
                call(self._model, inputs)
        finally:
            for handle in handles:
                handle.remove()
            self._held.clear()

    def _at_layer(self, name: str, inputs: Tensor) -> None:
        """Refits a layer that is about to run; one whose result is added to something waits until then."""
        if self._targets[name].summed:
            self._held[name] = inputs
        else:
            self._solve(name, inputs, self._targets[name].rows)

    def _at_sum(self, name: str, result: Tensor, other: Tensor) -> Tensor:
        """Refits a layer whose result is about to be added to something, and returns its new result."""
        inputs, layer, norm, target = self._held.pop(name), self._layer(name), self._norm(name), self._targets[name]
        rows = target.rows - sampled_outputs(layer, other, target.positions)
        if norm is not None:
            scale, shift, small = affine(norm)
            rows = rows.sub_(shift).div_(scale.masked_fill(small, 1.0))
        self._solve(name, inputs, rows)
        made = layer.forward(inputs)  # without its hooks
        return made if norm is None else norm.forward(made)

    def _solve(self, name: str, inputs: Tensor, rows: Tensor) -> None:
        """Gives a layer the weights with which it makes most nearly these rows of what it reads."""
        layer, norm, target = self._layer(name), self._norm(name), self._targets[name]
        bias = layer.bias if isinstance(layer.bias, Tensor) else None
        has_intercept = self._bias_correction and (bias is not None or norm is not None)
        before = as_matrix(layer.weight)
        equations = NormalEquations(before, len(rows))
        with torch.autocast("cpu", enabled=False):
            if bias is not None and not has_intercept:
                rows = rows - bias
            for start in range(0, len(inputs), _EXAMPLES):
                positions = target.positions[start : start + _EXAMPLES]
                read = sampled_inputs(layer, inputs[start : start + _EXAMPLES], positions)
                first = start * positions.shape[1]
                equations.add(read, rows[first : first + len(read)])
            weight, intercept = equations.solve(has_intercept)
        if not weight.isfinite().all():
            raise TaskError(f"layer '{name}' of the compressed network reads values that are not finite")
        if target.summed and norm is not None:
            small = affine(norm)[2]
            weight[small] = before[small]
            if intercept is not None:
                intercept[small] = 0.0 if bias is None else bias[small]
        layer.weight.copy_(from_matrix(layer, weight))
        if intercept is not None and bias is not None:
            bias.copy_(intercept)
        elif intercept is not None:
            assert norm is not None and isinstance(norm.running_mean, Tensor)
            norm.running_mean.sub_(intercept)

    def _layer(self, name: str) -> Layer:
        layer = self._layers[name]
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        return layer

    def _norm(self, name: str) -> nn.modules.batchnorm._BatchNorm | None:
        """Returns the BatchNorm behind a layer."""
        site = self._targets[name].site
        norm = self._model.get_submodule(site.norm) if site and site.norm else None
        return norm if isinstance(norm, nn.modules.batchnorm._BatchNorm) else None


def affine(norm: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what a BatchNorm multiplies by and adds, and which of its scales are next to nothing (channels,)."""
    assert isinstance(norm.running_mean, Tensor) and isinstance(norm.running_var, Tensor)
    scale = (norm.running_var + norm.eps).rsqrt() * (norm.weight if norm.affine else 1.0)
    shift = (norm.bias if norm.affine else 0.0) - norm.running_mean * scale
    return scale, shift, scale.abs() <= _SMALL * scale.abs().mean()
