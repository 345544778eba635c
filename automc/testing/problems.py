"""Small problems that need no training and no measuring, for tests of agents and environments."""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from automc.agents import Problem
from automc.costs import Budget, CostModel, Projection
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.search_spaces import Policy, SearchSpace, SpaceConfig, build_space
from automc.sensitivities import Sensitivities


def toy_problem(*budgets: str, higher_is_better: bool = True, bits: bool = True) -> Problem:
    """Returns all choices of a small untrained residual network under budgets on MACs, parameters or size."""
    torch.manual_seed(0)
    model = CifarResNet(blocks=2, widths=(8, 12, 16), option="B").eval()
    graph = build_graph(model, torch.randn(1, 3, 8, 8))
    space = build_space(graph, SpaceConfig(channel_multiple=2, bits=(8,) if bits else ()), 2, ((8, 8), (32, 32)))
    costs = CostModel(graph, space)
    projection = Projection(costs, [Budget.parse(text) for text in budgets or ("macs<=50%",)])
    return Problem(space, projection, higher_is_better, sensitivities=toy_sensitivities(space))


def toy_sensitivities(space: SearchSpace, seed: int = 0) -> Sensitivities:
    """Returns made-up sensitivities: of two options of an axis the smaller one hurts more."""
    generator = np.random.default_rng(seed)
    sizes = space.sizes.tolist()
    harms = tuple(np.append(np.sort(generator.random(size - 1))[::-1], 0.0) for size in sizes)
    return Sensitivities(space, harms, tuple(np.ones(size, dtype=bool) for size in sizes))


def toy_score(policy: Policy) -> float:
    """Returns a made-up score in [0, 1), the same for the same policy."""
    return zlib.crc32(repr(sorted(policy.to_dict().items())).encode()) / 2**32


class PlantedProblem:
    """A chain of convolutions whose best policy under its budget is known, since it was chosen first.

    Each layer needs a share of its channels, drawn at random. Every policy that gives all layers at least that scores
    1; what a layer lacks lowers the score. The budget is the MACs of the policy that gives exactly that, so it is the
    best that keeps it.

    Args:
        layers: how many convolutions.
        options: how many widths each can have.
        seed: of what the layers need.
    """

    def __init__(self, layers: int, options: int, seed: int = 0) -> None:
        torch.manual_seed(0)
        widths = [3, *[2 * options] * layers]
        convolutions = [nn.Conv2d(*pair, 3, padding=1) for pair in pairwise(widths)]
        body = [module for convolution in convolutions for module in (convolution, nn.ReLU())]
        model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10)).eval()
        graph = build_graph(model, torch.randn(1, 3, 8, 8))
        config = SpaceConfig(depth=False, channel_multiple=2, min_keep=1e-3)
        space = build_space(graph, config, 2)
        costs = CostModel(graph, space)
        needed = np.random.default_rng([seed, layers, options]).integers(0, options, len(space.axes))
        macs = costs.prices(needed[None])["macs"][0]
        self.best = space.decode(needed)
        self.problem = Problem(space, Projection(costs, [Budget.parse(f"macs<={macs:.0f}")]), True, 1.0)
        self._needed, self._options = needed, options

    def score(self, policy: Policy) -> float:
        """Returns the score of a policy, in (0, 1]."""
        return float(self.scores(self.problem.space.encode(policy)[None])[0])

    def scores(self, indices: np.ndarray) -> np.ndarray:
        """Returns the scores (B,) of policies given as option numbers (B, A)."""
        lacking = np.maximum(self._needed - indices, 0) / self._options
        return np.exp(-2 * np.sum(lacking**2, axis=1))
