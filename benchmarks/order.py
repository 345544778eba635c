"""Prune, then quantize, or the other way round: ResNet-56 on CIFAR-10 at half of the MACs and few bits, no training.

Top-1 on the search images and on the test set, for three orders: prune, recover, quantize; quantize the weights first,
then prune and recover what is on levels, and quantize again; prune and quantize, recovery being the rounding's alone.
"""

import copy

import torch
from _cifar import cifar_task
from torch import nn

from automc.compression import Calibration, Compressor, Methods, quantize
from automc.costs import Budget, CostModel, Projection
from automc.graph import ModelGraph, build_graph
from automc.search_spaces import Choice, Policy, SpaceConfig, build_space
from automc.tasks import Task, examples
from automc.tasks.loops import score

PAIRS, IMAGES, BUDGET = ((8, 8), (4, 8), (4, 4)), 512, "macs<=50%"


def policy_of(graph: ModelGraph, bits: tuple[int, int]) -> Policy:
    """Returns the policy that cuts all widths alike to the budget and gives every layer these bits."""
    space = build_space(graph, SpaceConfig(depth=False), 1)
    index = Projection(CostModel(graph, space), [Budget.parse(BUDGET)]).project(space.full)
    choices = dict(space.decode(index))
    for layer in graph.weighted:
        channels = choices.get(layer.name, Choice()).channels
        choices[layer.name] = Choice(channels, weight_bits=bits[0], activation_bits=bits[1])
    return Policy(choices)


def on_levels(model: nn.Module, calibration: Calibration, bits: tuple[int, int]) -> nn.Module:
    """Returns a float network whose weights are those of the quantized one, BatchNorm folded in."""
    names = [layer.name for layer in build_graph(model, calibration.inputs[:1]).weighted]
    quantized = quantize(model, calibration.inputs, dict.fromkeys(names, (bits[0], 32)))
    plain = copy.deepcopy(quantized.model)
    for name in names:
        old = plain.get_submodule(name)
        new: nn.Module
        if isinstance(old, nn.Conv2d):
            new = nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding)
        else:
            new = nn.Linear(old.in_features, old.out_features)
        new.weight.data = old.weight * old.weight_scale.view(-1, *[1] * (old.weight.ndim - 1))
        new.bias.data = old.bias.detach()
        plain.set_submodule(name, new)
    return plain.eval()


def built(model: nn.Module, calibration: Calibration, bits: tuple[int, int], methods: Methods) -> nn.Module:
    """Returns the network that is pruned and then quantized."""
    graph = build_graph(model, calibration.inputs[:1])
    return Compressor(model, graph, calibration, methods).build(policy_of(graph, bits)).model


def row(name: str, bits: tuple[int, int], network: nn.Module, task: Task) -> None:
    """Prints one line of the table."""
    top1 = " | ".join(f"{100 * score(network, task, split):.2f}" for split in ("search", "test"))
    print(f"| {bits[0]}, {bits[1]} | {name} | {top1} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(2)
    task = cifar_task("resnet56")
    model, calibration = task.model(), Calibration(*examples(task, IMAGES), task.loss)
    print("| weight, activation bits | order | search | test |")
    print("|---|---|---|---|")
    for bits in PAIRS:
        row("prune, recover, quantize", bits, built(model, calibration, bits, Methods()), task)
        first = on_levels(model, calibration, bits)
        row("quantize, prune, recover, quantize", bits, built(first, calibration, bits, Methods()), task)
        row("prune, quantize", bits, built(model, calibration, bits, Methods(recovery=())), task)
