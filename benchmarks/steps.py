"""Time of a step in each environment, on ResNet-56 and one core; ends of episodes apart. Prints JSON.

Widths and blocks at half of the MACs, or at 85% or half of the latency on HAQ's cloud device, where layers have 2 to 8
bits. Where the smallest widths are over the budget, the end of PruneChannels is the projection.
Actions are random and policies are not scored, so the end of an episode is what brings its policy onto the budget.
"""

import argparse
import json
import time

import gymnasium
import numpy as np
import torch

from automc.costs import Budget, CostModel, Projection
from automc.envs import ENVS, PolicyEnv
from automc.errors import ConfigError
from automc.graph import build_graph
from automc.latency_tables.simulated import make_accelerator
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig, build_space

NAMES = ("median", "95th percentile")


def timed(env: PolicyEnv, episodes: int) -> dict[str, list[float]]:
    """Returns seconds of resets, of steps and of the last steps of some episodes."""
    seconds: dict[str, list[float]] = {"reset": [], "step": [], "last step": []}
    env.action_space.seed(0)
    for _ in range(episodes):
        start = time.perf_counter()
        env.reset()
        seconds["reset"].append(time.perf_counter() - start)
        done = False
        while not done:
            action = env.action_space.sample()
            start = time.perf_counter()
            _, _, done, _, _ = env.step(action)
            seconds["last step" if done else "step"].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=30)
    episodes = parser.parse_args().episodes
    torch.set_num_threads(1)
    graph = build_graph(CifarResNet(blocks=9).eval(), torch.randn(1, 3, 32, 32))
    cloud = make_accelerator("bismo-cloud")
    results: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    smallest = {}
    for budget in ("macs<=50%", "latency<=85%", "latency<=50%"):
        bits = (2, 3, 4, 5, 6, 7, 8) if "latency" in budget else ()
        space = build_space(graph, SpaceConfig(bits=bits), 4, cloud.device.precisions)
        model = CostModel(graph, space, cloud if bits else None)
        projection = Projection(model, [Budget.parse(budget)])
        metric = projection.budgets[0].metric
        ends = model.prices(np.stack([space.full, np.where(space.is_width, 0, space.full)]), [metric])[metric]
        smallest[budget] = round(float(ends[1] / ends[0]), 3)
        for name in ENVS:
            try:
                env = gymnasium.make(name, projection=projection).unwrapped
            except ConfigError:  # widths alone have no bits
                continue
            assert isinstance(env, PolicyEnv)
            timed(env, 2)  # operators are priced when they are first met
            rows = results.setdefault(budget, {})[name] = {}
            for what, seconds in timed(env, episodes).items():
                figures = np.percentile(np.array(seconds) * 1e6, [50, 95])
                rows[what] = {key: round(float(value)) for key, value in zip(NAMES, figures, strict=True)}
    print(json.dumps({"share at the smallest widths": smallest, "microseconds": results}, indent=1))
