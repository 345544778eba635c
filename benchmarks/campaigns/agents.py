"""Each agent's time and memory as evaluations pile up: one proposal, one lesson, one note of its state.

``python benchmarks/campaigns/agents.py [AGENT ...] [--counts 100 1000 10000]``: 81 choices (ResNet-56: channels of 27
groups, bits of 54 layers; 50% of the MACs, or of the size for `haq`), made-up scores, no network is built or scored.
Each agent has a process of its own, on one thread. Times are of the processor, so that what else runs counts little.

What an agent is told are policies that `random` proposed. To get to 10,000 within minutes, those that train at every
lesson are told these with their updates switched off: they store every episode and lesson as ever, only the weights
differ. What is timed are proposals (the median of ten) and lessons (the mean of ten, as one of PPO's in ten trains)
with everything on, and the state that a search writes after these ten; `tpe` proposes ten times before that, so that
what its proposals leave behind counts. ``restore`` is what a resumed search takes to bring the agent back from its
state. Memory is the process's, after that, with imports and the network's graph.
"""

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch

from automc.agents import AGENTS, Agent, Problem, make_agent
from automc.costs import Budget, CostModel, Projection
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig, build_space
from automc.testing import toy_score

COUNTS, REPEATS = (100, 1_000, 10_000), 10  # `ppo` trains at every tenth lesson
INT8, FLOAT = (8, 8), (32, 32)


def problem(metric: str = "macs") -> Problem:
    """Returns 81 choices under a budget."""
    graph = build_graph(CifarResNet(blocks=9).eval(), torch.randn(1, 3, 32, 32))
    config = SpaceConfig(depth=False, bits=(8,), exclude=("conv1", "linear"))
    space = build_space(graph, config, 4, (INT8, FLOAT))
    assert len(space.axes) == 81
    return Problem(space, Projection(CostModel(graph, space), [Budget.parse(f"{metric}<=50%")]), original_score=1.0)


def resident() -> float:
    """Returns this process's memory in MiB, without what the allocator could give back."""
    ctypes.CDLL(None).malloc_trim(0)
    return round(psutil.Process().memory_info().rss / 2**20, 1)


def milliseconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


def frozen(agent: Agent) -> dict[str, int]:
    """Returns the settings under which an agent stores what it is told and trains nothing."""
    return {name: 0 for name in ("updates", "epochs") if hasattr(agent.settings, name)}


def measured(name: str, policies: np.ndarray, counts: list[int]) -> dict[str, object]:
    """Returns an agent's figures by the number of its finished evaluations."""
    asked = problem("size" if name == "haq" else "macs")
    agent = make_agent(name, asked, 0)
    warmup = getattr(agent.settings, "warmup", 0)
    as_set, still = agent.settings, agent.settings.model_copy(update=frozen(agent))
    answer: dict[str, object] = {"MiB before": resident()}
    told = 0
    for count in counts:
        agent.settings = still
        while told < count:
            policy = asked.space.decode(policies[told])
            agent.learn(policy, toy_score(policy))
            told += 1
        agent.proposed = max(told, warmup)
        agent.settings = as_set
        for _ in range(10 if name == "tpe" else 1):
            agent.propose()  # the first of all finds what later ones keep
        agent.state()  # a search writes it every ten evaluations: the latest ten are new to it
        answer[str(told)] = figures = {}
        proposing, learning = [], []
        for _ in range(REPEATS):
            proposing.append(milliseconds(agent.propose))
            policy = asked.space.decode(policies[told])
            score = toy_score(policy)
            learning.append(milliseconds(lambda policy=policy, score=score: agent.learn(policy, score)))
            told += 1
        figures["propose, ms"] = round(statistics.median(proposing), 3)
        figures["learn, ms"] = round(statistics.mean(learning), 3)
        start = time.process_time()
        state = agent.state()
        figures["state, ms"] = round(1e3 * (time.process_time() - start), 1)
        figures["state, MB"] = round(sum(array.nbytes for array in state.values()) / 1e6, 2)
        if state:
            again = make_agent(name, asked, 0)
            figures["restore, s"] = round(milliseconds(lambda again=again, state=state: again.restore(state)) / 1e3, 2)
            del again
        del state
        figures["MiB"] = resident()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("agents", nargs="*", default=list(AGENTS))
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--policies", type=Path, help=argparse.SUPPRESS)  # of the process that started this one
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts = sorted(arguments.counts)
    if arguments.policies:
        print(json.dumps(measured(arguments.agents[0], np.load(arguments.policies), counts)))
        return
    asked, generator = problem(), np.random.default_rng(0)
    needed = counts[-1] + (len(counts) + 1) * REPEATS
    policies = np.stack([asked.space.encode(asked.sample(generator)) for _ in range(needed)])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policies.npy"
        np.save(file, policies)
        for name in arguments.agents:
            command = [sys.executable, __file__, name, "--policies", str(file), "--counts", *map(str, counts)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            print(json.dumps({name: json.loads(done.stdout)}, indent=1), flush=True)


if __name__ == "__main__":
    main()
