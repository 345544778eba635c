"""Whether the search score ranks policies as the test set does: ResNet-20 and Plain-20 on CIFAR-10, 30 random policies.

Each policy is built and recovered as in a search, without fine-tuning, and scored on all 5,000 search images and on the
test set. Of each axis the larger of two random options is taken, so that the budgets, 50% to 80% of the MACs, bind.
"""

import json

import numpy as np
import torch
from _cifar import cifar_task
from scipy import stats

from automc.costs import Budget, CostModel, Projection
from automc.evaluation import Evaluator
from automc.graph import build_graph
from automc.search_spaces import build_space, load_preset
from automc.tasks import example
from automc.tasks.loops import score

NETWORKS, POLICIES, MULTIPLE = ("resnet20", "plain20"), 30, 8

if __name__ == "__main__":
    torch.set_num_threads(1)
    answer = {}
    for network in NETWORKS:
        task = cifar_task(network)
        model = task.model()
        graph = build_graph(model, example(task))
        costs = CostModel(graph, build_space(graph, load_preset("width-depth"), MULTIPLE))
        evaluator, generator = Evaluator(task, model, graph), np.random.default_rng(0)
        search, test, shares = [], [], []
        for percent in np.linspace(50, 80, POLICIES):
            projection = Projection(costs, [Budget.parse(f"macs<={percent:.2f}%")])
            index = projection.project(np.maximum(*costs.space.sample(generator, 2)))
            built = evaluator.compressor.build(costs.space.decode(index)).model
            search.append(evaluator.score(built))
            test.append(score(built, task, "test"))
            prices = costs.prices(np.stack([index, costs.space.full]))["macs"]
            shares.append(prices[0] / prices[1])
        better = np.argsort(search, kind="stable")[POLICIES // 2 :]
        answer[network] = {
            "policies": POLICIES,
            "Spearman": round(float(stats.spearmanr(search, test).statistic), 4),
            "Spearman of the better half": round(
                float(stats.spearmanr(np.array(search)[better], np.array(test)[better]).statistic), 4
            ),
            "original, search and test": [evaluator.score(model), score(model, task, "test")],
            "search, lowest to highest": [min(search), max(search)],
            "test, lowest to highest": [min(test), max(test)],
            "share of MACs": [round(float(share), 3) for share in shares],
            "search": search,
            "test": test,
        }
    print(json.dumps(answer, indent=1))
