"""What `tpe` loses by forgetting: best scores with all trials kept and with fewer, on problems whose best is known.

``python benchmarks/campaigns/tpe.py [--evaluations 2000] [--seeds 3] [--recent 100 500 0]``; 0 keeps all. ``widths``:
81 layers of 8 widths, whose needs are drawn at random (`automc.testing.PlantedProblem`), at the MACs of exactly these;
1 is the best there is. ``noisy`` adds to each score a normal error of 0.01, the same for the same policy, as different
policies get on a few thousand images; what is shown are scores without it. ``random`` is there for comparison.
"""

import argparse
import json
import time
import zlib

import numpy as np
import torch

from automc.agents import make_agent
from automc.agents.samplers.tpe import TPE
from automc.testing import PlantedProblem

NOISE = 0.01


def searched(name: str, planted: PlantedProblem, noise: float, seed: int, evaluations: int) -> dict[str, object]:
    """Returns how a search went."""
    agent = make_agent(name, planted.problem, seed)
    index, seconds, scores, told = planted.problem.space.encode, [], [], []
    for _ in range(evaluations):
        start = time.perf_counter()
        policy = agent.propose()
        seconds.append(time.perf_counter() - start)
        assert policy is not None
        error = np.random.default_rng(zlib.crc32(index(policy).tobytes())).standard_normal()
        scores.append(planted.score(policy))
        told.append(scores[-1] + noise * error)
        agent.learn(policy, told[-1])
    marks = [count for count in (250, 500, 1000, 2000, 5000, 10000) if count <= evaluations]
    return {
        "best": {str(count): round(scores[int(np.argmax(told[:count]))], 4) for count in marks},
        "mean of the last 200": round(float(np.mean(scores[-200:])), 4),
        "ms a proposal, last 50": round(1e3 * float(np.median(seconds[-50:])), 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recent", type=int, nargs="+", default=[100, 250, 500, 0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for noise in (0.0, NOISE):
        for seed in arguments.seeds:
            planted = PlantedProblem(81, 8, seed)
            rows = {}
            for recent in arguments.recent:
                TPE.keeps = (25, recent or 10**9)
                rows[f"tpe, {recent or 'all'}"] = searched("tpe", planted, noise, seed, arguments.evaluations)
            rows["random"] = searched("random", planted, noise, seed, arguments.evaluations)
            print(json.dumps({f"{'noisy' if noise else 'widths'}, seed {seed}": rows}, indent=1), flush=True)
