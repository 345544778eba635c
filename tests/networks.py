"""Small random networks, their cost models and made-up latency tables, for laws that hold for all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor, nn

from automc.costs import CostModel
from automc.devices import Device
from automc.errors import TraceError
from automc.graph import ModelGraph, build_graph
from automc.latency_tables import Entry, LatencyTable, Overhead
from automc.search_spaces import Choice, Policy, SpaceConfig, build_space

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Identity)


class Example(NamedTuple):
    """A network in evaluation mode and inputs for it."""

    model: nn.Module
    inputs: Tensor


class Residual(nn.Module):
    """Adds what its body makes to a shortcut."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.body(x) + self.shortcut(x))


class Branches(nn.Module):
    """Concatenates what two branches make of one input."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)


class Mean(nn.Module):
    """Averages over all pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def randomize(model: nn.Module, seed: int) -> nn.Module:
    """Gives all weights and statistics random values, no two alike, so that a wrong index shows."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.weight.copy_(1 + 0.3 * normal(module.weight))
                module.bias.copy_(0.5 * normal(module.bias))
                module.running_mean.copy_(0.3 * normal(module.running_mean))
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.copy_(normal(module.weight) * 1.4 / module.weight[0].numel() ** 0.5)
                if module.bias is not None:
                    module.bias.copy_(0.3 * normal(module.bias))
    return model.eval()


@st.composite
def networks(draw: st.DrawFn, batch: int = 1, grouped: bool = True) -> Example:
    """Draws a network of one to four layers and a classifier, and example inputs.

    Args:
        draw: hypothesis's.
        batch: examples in the inputs.
        grouped: whether there may be convolutions with groups, other than depthwise ones.
    """
    widths = st.integers(2, 12)
    kinds = ["conv", "depthwise", "residual", "projection", "branches", "pool"] + ["grouped"] * grouped
    size, channels = draw(st.integers(5, 8)), draw(st.integers(1, 3))
    colours, first = channels, size

    def activation() -> nn.Module:
        return draw(st.sampled_from(ACTIVATIONS))()

    def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        bias, norm = draw(st.booleans()), draw(st.booleans())
        layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)
        return [layer, nn.BatchNorm2d(outputs)] if norm else [layer]

    layers: list[nn.Module] = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4)):
        kernel, stride = draw(st.sampled_from([1, 3])), draw(st.sampled_from([1, 1, 2]))
        if kind == "pool":
            layers.append(draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))(3, stride, 1))
            size = (size - 1) // stride + 1
            continue
        if kind in {"depthwise", "residual", "grouped"} and channels < 4:
            wider = 2 * draw(st.integers(2, 5))
            layers += [*convolution(channels, wider, 3), activation()]
            channels = wider
        if kind == "residual":
            inner = draw(widths)
            body = [*convolution(channels, inner, kernel), activation(), *convolution(inner, channels, 3)]
            layers.append(Residual(nn.Sequential(*body), nn.Identity(), activation()))
            continue
        outputs = channels if kind == "depthwise" else draw(widths)
        if kind == "conv":
            layers += [*convolution(channels, outputs, kernel, stride), activation()]
        elif kind == "depthwise":
            layers += [*convolution(channels, outputs, kernel, stride, groups=channels), activation()]
        elif kind == "grouped":
            groups = draw(st.sampled_from([n for n in (2, 3, 4, 5) if channels % n == 0 and n < channels] or [1]))
            outputs = groups * draw(st.integers(1, 4))
            layers += [*convolution(channels, outputs, kernel, stride, groups), activation()]
        elif kind == "projection":
            inner = draw(widths)
            body = [*convolution(channels, inner, 3, stride), activation(), *convolution(inner, outputs, kernel)]
            shortcut = nn.Sequential(*convolution(channels, outputs, 1, stride))
            layers.append(Residual(nn.Sequential(*body), shortcut, activation()))
        else:
            more = draw(widths)
            left, right = convolution(channels, outputs, kernel, stride), convolution(channels, more, 3, stride)
            layers.append(Branches(nn.Sequential(*left, activation()), nn.Sequential(*right)))
            outputs += more
        channels = outputs
        size = (size - 1) // stride + 1
    head = draw(st.sampled_from(["flatten", "pool", "mean"]))
    if head == "flatten":
        layers.append(nn.Flatten())
        channels *= size * size
    else:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if head == "pool" else [Mean()]
    if draw(st.booleans()):
        hidden = draw(widths)
        layers += [nn.Linear(channels, hidden), nn.ReLU()]
        channels = hidden
    layers.append(nn.Linear(channels, 3))
    seed = draw(st.integers(0, 2**16))
    inputs = torch.randn(batch, colours, first, first, generator=torch.Generator().manual_seed(seed))
    return Example(randomize(nn.Sequential(*layers), seed), inputs)


def smooth_images(n: int, channels: int = 3, size: int = 16, seed: int = 0) -> Tensor:
    """Images whose neighbouring pixels are alike, as those of the world are."""
    coarse = torch.randn(n, channels, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=size, mode="bilinear")


def keep(unit: str, channels: int) -> Policy:
    """The policy that prunes one group."""
    return Policy({unit: Choice(channels=channels)})


def halved(graph: ModelGraph) -> Policy:
    """The policy that keeps half of every group."""
    return Policy({group.name: Choice(channels=group.channels // 2) for group in graph.prunable})


def everything(graph: ModelGraph) -> Policy:
    """The policy that leaves a network as it is."""
    choices = {group.name: Choice(channels=group.channels) for group in graph.prunable}
    return Policy(choices | {block.name: Choice(keep=True) for block in graph.blocks})


def priced(example: Example, config: SpaceConfig | None = None) -> CostModel:
    """The cost model of a network's space, by default all there is; asks for another network where that is nothing."""
    graph = build_graph(*example)
    try:
        space = build_space(graph, config or SpaceConfig(min_keep=0.01, bits=(8,)), 1, ((8, 8), (32, 32)))
    except TraceError:
        assume(False)
        raise
    return CostModel(graph, space)


def device(**changes: object) -> Device:
    """A processor that nobody has."""
    fields = {"name": "cpu", "processor": "abacus", "instructions": ("beads",), "runtime": "fingers 1.0"}
    return Device.model_validate(fields | changes)


def with_random_table(model: CostModel, seed: int) -> CostModel:
    """The same cost model with a table of its operators whose latencies know no order."""
    rng = np.random.default_rng(seed)
    table = LatencyTable(device(), Overhead(run=float(rng.uniform(0, 5)), kernel=float(rng.uniform(-0.5, 0.5))))
    for signature in model.all_signatures(most=10**9):
        us = float(rng.uniform(0.1, 50))
        table.entries[signature] = Entry(us, us, us, runs=1)
    return CostModel(model.graph, model.space, table)


def state_of(model: nn.Module) -> dict[str, Any]:
    """All that somebody could notice had changed in a network."""
    modules = dict(model.named_modules())
    return {
        "training": {name: module.training for name, module in modules.items()},
        "hooks": {name: (*module._forward_hooks, *module._forward_pre_hooks) for name, module in modules.items()},
        "requires_grad": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "grad": {name: parameter.grad for name, parameter in model.named_parameters()},
        "tensors": {name: tensor.data_ptr() for name, tensor in model.state_dict(keep_vars=True).items()},
        "values": {name: tensor.tolist() for name, tensor in model.state_dict().items()},
        "types": {name: type(module) for name, module in modules.items()},
    }
