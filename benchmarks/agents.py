"""Agents at equal cost on the digits network: best search score, and that policy's test score, over several seeds.

Latency budgets are kept as predicted (by all but ``int8``, which is what it is); nothing is exported. Every seed draws
its own calibration positions and proposals.
"""

import json

import numpy as np

from automc.agents import Problem, make_agent
from automc.costs import Budget, CostModel, Projection
from automc.devices import LocalBench
from automc.evaluation import Evaluator
from automc.graph import build_graph
from automc.latency_tables import ensure_table
from automc.search_spaces import build_space, load_preset
from automc.tasks import example, load_task
from automc.tasks.loops import score

AGENTS = ("int8", "uniform", "uniform+int8", "random", "tpe")  # those that learn need more: learning.py
EVALUATIONS, SEEDS, BUDGETS = 60, range(5), ("latency<=40%", "latency<=15%")

if __name__ == "__main__":
    task, bench = load_task("digits"), LocalBench()
    model = task.model()
    graph = build_graph(model, example(task))
    space = build_space(graph, load_preset("all"), bench.device.channel_multiple, bench.device.precisions)
    table, _ = ensure_table(bench, CostModel(graph, space).all_signatures())
    costs, answer = CostModel(graph, space, table), {}
    for budget in BUDGETS:
        problem = Problem(space, Projection(costs, [Budget.parse(budget)]))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in AGENTS}
        for seed in SEEDS:
            evaluator = Evaluator(task, model, graph, seed=seed)
            for name in AGENTS:
                agent, best = make_agent(name, problem, seed), None
                for _ in range(EVALUATIONS):
                    policy = agent.propose()
                    if policy is None:
                        break
                    done = evaluator.evaluate(policy)
                    agent.learn(policy, done.score)
                    best = done if best is None or done.score > best.score else best
                assert best is not None  # each proposes something in this space
                found[name].append((best.score, score(evaluator.compressor.build(best.policy).model, task, "test")))
        answer[budget] = {
            name: {
                "search, median": round(float(np.median([s for s, _ in pairs])), 4),
                "search, all": [round(s, 4) for s, _ in pairs],
                "test, median": round(float(np.median([t for _, t in pairs])), 4),
                "test, all": [round(t, 4) for _, t in pairs],
            }
            for name, pairs in found.items()
        }
    print(json.dumps(answer, indent=1))
