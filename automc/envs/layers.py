"""What layers look like to an agent, and what share of a network's cost they have."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from automc.costs import CostModel
from automc.costs.macs import mac_terms
from automc.graph import ModelGraph


@dataclass(frozen=True)
class LayerView:
    """A layer, as numbers.

    Attributes:
        module: its name; empty where no operator of it was found.
        order: its operator's place among the network's.
        n: outputs.
        c: inputs.
        h: height of what it reads; of a linear layer how many rows, which are tokens, an example has.
        w: width of what it reads; 1 for a linear layer.
        stride: 0 for a linear layer, as in the code of AMC and HAQ.
        k: size of its kernel; 1 for a linear layer.
        weights: how many weights it has.
        depthwise: whether each of its inputs has a kernel of its own.
    """

    module: str
    order: int
    n: int = 0
    c: int = 0
    h: int = 0
    w: int = 0
    stride: int = 0
    k: int = 0
    weights: int = 0
    depthwise: bool = False


def view(graph: ModelGraph, modules: Collection[str]) -> LayerView:
    """Returns the first layer that runs of some modules; what only moves numbers counts where there is no layer."""
    ops = [(order, op) for order, op in enumerate(graph.ops) if op.module in modules]
    layers = [order for order, op in ops if mac_terms(op, graph.op_dims[order])]
    made = [order for order, op in ops if len(op.output) > 1]
    if not layers:
        return _of_rows(graph, made[0]) if made else LayerView("", len(graph.ops))
    order = layers[0]
    return _of_convolution(graph, order) if graph.ops[order].kind == "convolution" else _of_product(graph, order)


def producer(graph: ModelGraph, group: str) -> LayerView:
    """Returns the layer that makes a group's channels; where several do, the first that runs."""
    members = next(each.members for each in graph.groups if each.name == group)
    return view(graph, {member.module for member in members if member.role == "out"})


def scaled(rows: np.ndarray) -> np.ndarray:
    """Returns numbers (T, F) scaled to [0, 1] column by column; 0 where all layers are alike."""
    low, span = rows.min(axis=0), np.ptp(rows, axis=0)
    return np.where(span > 0, (rows - low) / np.where(span > 0, span, 1), 0.0)


def layer_shares(model: CostModel, metric: str) -> dict[LayerView, float]:
    """Returns the share of the original's cost that each convolution and linear layer has, in no particular order."""
    graph, full = model.graph, model.space.full
    layers = {op.module: None for order, op in enumerate(graph.ops) if mac_terms(op, graph.op_dims[order])}
    total = float(model.prices(full[None], [metric])[metric][0])
    costs = dict.fromkeys(layers, 0.0)
    for name, cost in model.breakdown(full, metric).items():
        module = name.partition(":")[0]  # operators are named module:kind, weights module.weight
        module = module if module in costs else module.rpartition(".")[0]
        if module in costs:
            costs[module] += cost
    return {view(graph, {module}): cost / max(total, 1e-12) for module, cost in costs.items()}


def _of_convolution(graph: ModelGraph, order: int) -> LayerView:
    op = graph.ops[order]
    given, weight = op.inputs[:2]
    return LayerView(
        module=op.module,
        order=order,
        n=op.output[1],
        c=given[1],
        h=math.prod(given[2:-1]),
        w=given[-1],
        stride=op.attribute("stride")[0],
        k=weight[2],
        weights=math.prod(weight),
        depthwise=op.attribute("groups") == given[1] > 1,
    )


def _of_product(graph: ModelGraph, order: int) -> LayerView:
    op = graph.ops[order]
    given, weight = op.inputs[-2:]
    rows = math.prod(given[:-1]) // graph.batch
    return LayerView(op.module, order, weight[-1], given[-1], rows, 1, 0, 1, math.prod(weight))


def _of_rows(graph: ModelGraph, order: int) -> LayerView:
    op = graph.ops[order]
    return LayerView(op.module, order, op.output[-1], 0, math.prod(op.output[:-1]) // graph.batch, 1, 0, 1)
