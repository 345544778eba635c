"""Predicted against measured latency of random policies: widths and blocks of two networks, and with bits of a third.

No policy's measurement was used for the table. Error is predicted over measured, minus one; the relative error compares
shares of the original's latency, which is what a budget in % is about.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from automc.compression import compress, magnitudes, quantize
from automc.costs import CostModel
from automc.devices import LocalBench, time_models
from automc.graph import build_graph
from automc.latency_tables import measure_table
from automc.models import CifarResNet
from automc.recipes import export_onnx
from automc.recipes.deployed import feeds
from automc.search_spaces import SearchSpace, build_space, load_preset

POLICIES = {"width-depth": 24, "all": 50}


def sample(space: SearchSpace, count: int) -> np.ndarray:
    """Returns (count, A) random option numbers; of each policy another share of the layers is in int8."""
    generator = np.random.default_rng(0)
    indices = space.sample(generator, count)
    int8 = generator.random((count, len(space.axes))) < generator.random((count, 1))
    return space.canonical(np.where(space.is_bits, ~int8, indices))


if __name__ == "__main__":
    torch.manual_seed(0)
    networks = {
        "digits (ResNet-14, option B)": (CifarResNet(2, channels=1, option="B"), 1, "width-depth"),
        "ResNet-20 (option A)": (CifarResNet(3), 3, "width-depth"),
        "ResNet-56 (option A), mixed precision": (CifarResNet(9), 3, "all"),
    }
    bench, answer = LocalBench(), {}
    for name, (model, channels, preset) in networks.items():
        inputs = torch.randn(16, channels, 32, 32)
        graph = build_graph(model.eval(), inputs[:1])
        space = build_space(graph, load_preset(preset), bench.device.channel_multiple, bench.device.precisions)
        scores = magnitudes(model, graph)
        indices = np.concatenate([space.full[None], sample(space, POLICIES[preset])])
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, index in enumerate(indices):
                files.append(Path(folder) / f"{number}.onnx")
                made = compress(model, graph, space.decode(index), scores)
                export_onnx(quantize(made.model, inputs, made.bits) if made.bits else made.model, inputs[:1], files[-1])
            # one after the other: a machine that others share changes its speed within minutes
            table = measure_table(bench, CostModel(graph, space).all_signatures())
            timings = time_models(bench, files, [feeds(inputs[:1])] * len(files))
        measured = np.array([timing.us for timing in timings])
        ratios = np.array([timing.ratio for timing in timings])
        predicted = CostModel(graph, space, table).prices(indices)["latency"]
        error, relative = predicted / measured - 1, predicted / predicted[0] / ratios - 1
        answer[name] = {
            "policies": POLICIES[preset],
            "operators in the table": len(table.entries),
            "median error": round(float(np.median(np.abs(error[1:]))), 4),
            "bias": round(float(np.median(error[1:])), 4),
            "within 10%": round(float((np.abs(error[1:]) <= 0.1).mean()), 3),
            "median error of the share": round(float(np.median(np.abs(relative[1:]))), 4),
            "largest error of the share": round(float(np.abs(relative[1:]).max()), 4),
            "Spearman": round(float(stats.spearmanr(predicted, measured).statistic), 4),
        }
    print(json.dumps(answer, indent=1))
