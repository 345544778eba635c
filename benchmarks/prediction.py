"""Predicted against measured latency of random policies: the digits network and CIFAR's ResNet-20, widths and blocks.

No policy's measurement was used for the table. Error is predicted over measured, minus one; the relative error compares
shares of the original's latency, which is what a budget in % is about.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from automc.compression import compress, magnitudes
from automc.costs import CostModel
from automc.graph import build_graph
from automc.latency_tables import Device, measure_table, time_models
from automc.models import CifarResNet
from automc.recipes import export_onnx
from automc.recipes.deployed import feeds
from automc.search_spaces import SpaceConfig, build_space

POLICIES = 24

if __name__ == "__main__":
    torch.manual_seed(0)
    networks = {
        "digits (ResNet-14, option B)": (CifarResNet(2, channels=1, option="B"), torch.randn(1, 1, 32, 32)),
        "ResNet-20 (option A)": (CifarResNet(3), torch.randn(1, 3, 32, 32)),
    }
    device, answer = Device.local(), {}
    for name, (model, inputs) in networks.items():
        graph = build_graph(model.eval(), inputs)
        space = build_space(graph, SpaceConfig(), device.channel_multiple)
        table = measure_table(device, CostModel(graph, space).all_signatures())
        costs, scores = CostModel(graph, space, table), magnitudes(model, graph)
        indices = np.concatenate([space.full[None], space.sample(np.random.default_rng(0), POLICIES)])
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, index in enumerate(indices):
                files.append(Path(folder) / f"{number}.onnx")
                export_onnx(compress(model, graph, space.decode(index), scores).model, inputs, files[-1])
            timings = time_models(device, files, [feeds(inputs)] * len(files))
        measured = np.array([timing.us for timing in timings])
        ratios = np.array([timing.ratio for timing in timings])
        predicted = costs.prices(indices)["latency"]
        error, relative = predicted / measured - 1, predicted / predicted[0] / ratios - 1
        answer[name] = {
            "policies": POLICIES,
            "operators in the table": len(table.entries),
            "median error": round(float(np.median(np.abs(error[1:]))), 4),
            "bias": round(float(np.median(error[1:])), 4),
            "within 10%": round(float((np.abs(error[1:]) <= 0.1).mean()), 3),
            "median error of the share": round(float(np.median(np.abs(relative[1:]))), 4),
            "largest error of the share": round(float(np.abs(relative[1:]).max()), 4),
            "Spearman": round(float(stats.spearmanr(predicted, measured).statistic), 4),
        }
    print(json.dumps(answer, indent=1))
