"""Predicted against measured latency of networks that nobody here wrote: small ones, and two transformers 256 wide.

All operators are measured in one table, all files take turns in one run after it; one thread, batch 1, float32.
"""

import sys
import tempfile
from pathlib import Path

import torch
import transformers

from automc.costs import CostModel
from automc.devices import LocalBench, time_models
from automc.graph import build_graph
from automc.latency_tables import measure_table
from automc.recipes import export_onnx
from automc.recipes.deployed import feeds
from automc.search_spaces import SpaceConfig, build_space

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' networks
from tests.foreign import FOREIGN, Foreign, foreign

WIDE = {
    "num_labels": 10,
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 1024,
}


def wide(name: str) -> Foreign:
    """Returns a ViT or a BERT of 64 positions."""
    torch.manual_seed(0)
    if name == "ViT, 256 wide":
        config = transformers.ViTConfig(image_size=64, patch_size=8, **WIDE)
        return Foreign(transformers.ViTForImageClassification(config).eval(), torch.randn(1, 3, 64, 64))
    model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=1000, **WIDE)).eval()
    mask = (torch.arange(64) < 50).long()[None]
    return Foreign(model, {"input_ids": torch.randint(0, 1000, (1, 64)), "attention_mask": mask})


if __name__ == "__main__":
    torch.set_num_threads(1)
    bench = LocalBench()
    networks = {name: foreign(name) for name in FOREIGN} | {n: wide(n) for n in ("ViT, 256 wide", "BERT, 256 wide")}
    costs = []
    for network in networks.values():
        graph = build_graph(*network)
        costs.append(CostModel(graph, build_space(graph, SpaceConfig(depth=False), 1)))
    table = measure_table(bench, sorted({s for model in costs for s in model.signatures(model.space.full)}))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.onnx" for number in range(len(networks))]
        for network, file in zip(networks.values(), files, strict=True):
            export_onnx(*network, file)
        timings = time_models(bench, files, [feeds(network.inputs) for network in networks.values()])
    print("| network | operators | predicted / measured | quartiles of the measurement |")
    print("|---|---|---|---|")
    for name, model, timing in zip(networks, costs, timings, strict=True):
        full = model.space.full
        share = CostModel(model.graph, model.space, table).prices(full[None])["latency"][0] / timing.us
        spread = f"{timing.low / timing.us:.3f} to {timing.high / timing.us:.3f}"
        print(f"| {name} | {len(model.signatures(full))} | {share:.2f} | {spread} |")
