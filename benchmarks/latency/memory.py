"""Predicted peak memory of activations against what ONNX Runtime's allocator gives out in one run.

The runtime's profiler says after each node what its arena has given out. Counted is the first run of a session, in
which every tensor is asked for by itself; weights are taken off, and the input, which is the caller's, is not among it.
``planned`` is with the runtime's plan of which buffers are used again, its default; ``freed`` without it, tensors being
freed after their last use; ``with scratch`` also has what kernels ask for while they run. Networks have random weights.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from automc.compression import Methods, compress, magnitudes, quantize
from automc.costs import CostModel
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.recipes import export_onnx
from automc.recipes.deployed import feeds
from automc.search_spaces import SpaceConfig, build_space

sys.path.insert(0, str(Path(__file__).parents[2]))  # the tests' networks
from tests.foreign import FOREIGN, foreign


def arena(path: Path, inputs: Any, reuse: bool) -> tuple[int, int]:
    """Returns the most bytes given out during one run, without and with the kernels' scratch memory."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level, options.enable_mem_reuse = 1, 3, reuse
    options.enable_profiling, options.profile_file_prefix = True, str(path.with_suffix(""))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, dict(feeds(inputs)))
    events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event["args"] for event in events if event["name"].endswith("_kernel_time")]
    before = int(nodes[0]["mem_bytes_requested_in_use"]) - int(nodes[0]["mem_requested_in_use_delta"])
    most = max(int(node["mem_bytes_requested_in_use"]) for node in nodes)
    return most - before, int(nodes[-1]["mem_in_use_peak"]) - before


if __name__ == "__main__":
    networks = {
        f"ResNet-{6 * blocks + 2}": (CifarResNet(blocks).eval(), torch.randn(1, 3, 32, 32)) for blocks in (3, 9)
    }
    networks |= {name: tuple(foreign(name)) for name in FOREIGN}
    print("| network | predicted, bytes | planned | freed | predicted / planned | / freed | / with scratch |")
    print("|---|---|---|---|---|---|---|")
    for name, (model, inputs) in networks.items():
        graph = build_graph(model, inputs)
        space = build_space(graph, SpaceConfig(bits=(8,)), 1, ((8, 8), (32, 32)))
        costs = CostModel(graph, space)
        for precision, index in {"": space.full, ", int8": (1 - space.is_bits) * space.full}.items():
            predicted = costs.prices(index[None])["memory"][0]
            built = compress(model, graph, space.decode(index), magnitudes(model, graph))
            module = (
                quantize(built.model, inputs, built.bits, Methods(rounding="nearest")) if precision else built.model
            )
            with tempfile.TemporaryDirectory() as folder:
                export_onnx(module, inputs, Path(folder) / "model.onnx")
                planned, scratch = arena(Path(folder) / "model.onnx", inputs, reuse=True)
                freed, _ = arena(Path(folder) / "model.onnx", inputs, reuse=False)
            ratios = " | ".join(f"{predicted / most:.2f}" for most in (planned, freed, scratch))
            print(f"| {name}{precision} | {predicted:.0f} | {planned} | {freed} | {ratios} |", flush=True)
