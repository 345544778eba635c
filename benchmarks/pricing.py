"""Policies priced per second, in batches, on one core, for a network of 27 groups: ResNet-56, widths and blocks.

All five metrics are priced, latency from a table measured on this machine. Policies are random and priced for the first
time; what a cost model remembers between batches are latencies of single operators.
"""

import json
import statistics
import time

import numpy as np
import torch

from automc.costs import CostModel
from automc.devices import LocalBench
from automc.graph import build_graph
from automc.latency_tables import measure_table
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig, build_space

BATCH, REPEATS = 2000, 15

if __name__ == "__main__":
    torch.set_num_threads(1)
    graph = build_graph(CifarResNet(blocks=9).eval(), torch.randn(1, 3, 32, 32))
    bench = LocalBench()
    results = {}
    for name, config in {
        "27 groups": SpaceConfig(depth=False),
        "27 groups, 25 blocks": SpaceConfig(),
        "27 groups, 25 blocks, 56 layers' bits": SpaceConfig(bits=(8,)),
    }.items():
        space = build_space(graph, config, bench.device.channel_multiple, bench.device.precisions)
        table = measure_table(bench, CostModel(graph, space).all_signatures())
        generator = np.random.default_rng(0)
        batches = [space.sample(generator, BATCH) for _ in range(REPEATS + 1)]
        costs = CostModel(graph, space, table)
        rates = []
        for batch in batches:
            start = time.process_time()
            costs.prices(batch)
            rates.append(BATCH / (time.process_time() - start))
        results[name] = {
            "axes": len(space.axes),
            "first batch": round(rates[0]),
            "median of the others": round(statistics.median(rates[1:])),
            "slowest of the others": round(min(rates[1:])),
        }
    print(json.dumps({"policies per second of one core": results}, indent=1))
