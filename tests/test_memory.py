"""Peak memory of activations, against plain allocating step by step and against ONNX Runtime's own arena."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automc.compression import Methods, compress, magnitudes, quantize
from automc.costs import Cost, CostModel
from automc.models import CifarResNet
from automc.recipes import export_onnx
from automc.search_spaces import SpaceConfig
from tests.alive import peak_memory
from tests.foreign import foreign
from tests.networks import Branches, Example, Mean, networks, priced, randomize

seeds = st.integers(0, 2**16)
FLOAT = SpaceConfig(min_keep=0.01)
SIMULATED = SpaceConfig(min_keep=0.01, bits=(2, 4, 8, 32), simulate=True)


def assert_as_built(example: Example, model: CostModel, indices: np.ndarray) -> None:
    prices = model.prices(indices)["memory"]
    for index, price in zip(indices, prices, strict=True):
        policy = model.space.decode(index)
        built = compress(example.model, model.graph, policy, magnitudes(example.model, model.graph))
        assert price == peak_memory(built.model, example.inputs, built.bits)
        assert sum(model.breakdown(index, "memory").values()) == price


def arena(path: Path, inputs: Tensor) -> int:
    """The most bytes that the runtime's own allocator gave out in one run, weights, scratch and inputs apart."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.enable_profiling, options.profile_file_prefix = True, str(path.with_suffix(""))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event["args"] for event in events if event["name"].endswith("_kernel_time")]
    before = int(nodes[0]["mem_bytes_requested_in_use"]) - int(nodes[0]["mem_requested_in_use_delta"])
    return max(int(node["mem_bytes_requested_in_use"]) for node in nodes) - before


@settings(max_examples=40)
@given(networks(), seeds, st.sampled_from([FLOAT, None, SIMULATED]))
def test_memory_is_what_the_built_network_needs(example: Example, seed: int, config: SpaceConfig | None) -> None:
    model = priced(example, config)
    assert_as_built(example, model, model.space.sample(np.random.default_rng(seed), 3))


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize("config", [None, SIMULATED])
def test_memory_follows_dropped_blocks_widths_and_bits_together(option: str, config: SpaceConfig | None) -> None:
    example = Example(randomize(CifarResNet(2, widths=(6, 8, 12), option=option), 0), torch.ones(2, 3, 16, 16))
    model = priced(example, config)
    indices = model.space.sample(np.random.default_rng(0), 24)
    assert len(np.unique(indices[:, model.space.is_depth], axis=0)) > 4
    assert_as_built(example, model, indices)


@pytest.mark.parametrize("name", ["ConvNeXt", "ViT", "BERT"])
def test_memory_of_networks_of_others(name: str) -> None:
    network = foreign(name, batch=2)
    example = Example(network.model, network.inputs)  # type: ignore[arg-type]  # BERT's are several
    model = priced(example)
    assert_as_built(example, model, np.stack([model.space.full, *model.space.sample(np.random.default_rng(0), 2)]))


def test_memory_counted_by_hand() -> None:
    branches = Branches(nn.Conv2d(2, 4, 1), nn.Sequential(nn.Conv2d(2, 8, 1), nn.BatchNorm2d(8), nn.ReLU()))
    example = Example(nn.Sequential(branches, nn.Conv2d(12, 5, 1), nn.Flatten()).eval(), torch.ones(1, 2, 3, 3))
    model = priced(example, FLOAT)
    index = model.space.full
    # both branches and what joins them; BatchNorm and ReLU leave nothing between them, and the input is gone
    assert model.prices(index[None])["memory"].tolist() == [4 * 9 * (4 + 8 + 12)]
    assert model.breakdown(index, "memory") == {"0": 4 * 9 * 12, "0.right.2": 4 * 9 * 8, "0.left": 4 * 9 * 4}
    pruned = np.where([axis.unit == "0.right.0" for axis in model.space.axes], 0, index)
    assert model.prices(pruned[None])["memory"].tolist() == [4 * 9 * (4 + 1 + 5)]


def test_a_tensor_that_is_read_in_float_and_in_int8_counts_twice() -> None:
    branches = Branches(nn.Conv2d(8, 1, 1), nn.Conv2d(8, 1, 1))
    example = Example(nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), branches, Mean()).eval(), torch.ones(1, 1, 6, 6))
    model = priced(example, SpaceConfig(depth=False, width=False, bits=(8,)))
    left = np.where([axis.unit == "2.left" for axis in model.space.axes], 0, model.space.full)
    full, one, all_int8 = model.prices(np.stack([model.space.full, left, np.zeros_like(left)]))["memory"]
    assert full == 36 * (4 * 8 + 4 + 4)  # in the right branch
    assert one == 36 * (4 * 8 + 8 + 1)  # in the left one: a layer in int8 can raise the peak
    assert model.breakdown(left, "memory") == {"1": 36 * 32, "1:few bits": 36 * 8, "2.left:few bits": 36}
    assert all_int8 == 36 * (4 + 4 + 8)  # where both are joined, in float


def test_the_runtimes_arena_holds_as_much(tmp_path: Path) -> None:
    network = foreign("MobileNetV2")
    assert isinstance(network.inputs, Tensor)
    model = priced(Example(network.model, network.inputs), SpaceConfig(depth=False, width=False, bits=(8,)))
    scores = magnitudes(network.model, model.graph)
    for index in (model.space.full, np.zeros_like(model.space.full)):
        built = compress(network.model, model.graph, model.space.decode(index), scores)
        module = quantize(built.model, network.inputs, built.bits, Methods(rounding="nearest"))
        export_onnx(module if built.bits else built.model, network.inputs, tmp_path / "model.onnx")
        assert model.prices(index[None])["memory"][0] == arena(tmp_path / "model.onnx", network.inputs)


def test_costs_written_before_memory_was_counted_say_so() -> None:
    with pytest.raises(ValueError, match="no memory is known"):
        Cost(1, 2, 3, 4).get("memory")
