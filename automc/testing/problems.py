"""A small problem that needs no training and no measuring, for tests of agents and environments."""

from __future__ import annotations

import zlib

import torch

from automc.agents import Problem
from automc.costs import Budget, CostModel, Projection
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.search_spaces import Policy, SpaceConfig, build_space


def toy_problem(*budgets: str, higher_is_better: bool = True, bits: bool = True) -> Problem:
    """Returns all choices of a small untrained residual network under budgets on MACs, parameters or size."""
    torch.manual_seed(0)
    model = CifarResNet(blocks=2, widths=(8, 12, 16), option="B").eval()
    graph = build_graph(model, torch.randn(1, 3, 8, 8))
    space = build_space(graph, SpaceConfig(channel_multiple=2, bits=(8,) if bits else ()), 2, ((8, 8), (32, 32)))
    costs = CostModel(graph, space)
    projection = Projection(costs, [Budget.parse(text) for text in budgets or ("macs<=50%",)])
    return Problem(space, projection, higher_is_better)


def toy_score(policy: Policy) -> float:
    """Returns a made-up score in [0, 1), the same for the same policy."""
    return zlib.crc32(repr(sorted(policy.to_dict().items())).encode()) / 2**32
