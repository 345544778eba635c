from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from onnx import TensorProto, helper
from torch import nn

from automc import devices
from automc.devices import LocalBench, time_models
from automc.errors import RuntimeFailure, TableError
from automc.graph import ModelGraph, build_graph
from automc.graph.fusion import find_kernels
from automc.latency_tables import LatencyTable, Signature, measure_table
from automc.latency_tables.kernels import signature_of
from automc.latency_tables.micro import side_by_side
from automc.models import CifarResNet
from automc.search_spaces import SpaceConfig
from tests.networks import Branches, Example, Mean, Residual, networks, priced, randomize

RUNNER = Path(devices.__file__).with_name("_runner.py")

IMAGE: dict[str, tuple[int, ...]] = {"before": (1,), "after": (32, 32)}
CONV: dict[str, tuple[int, ...]] = {"n": (1,), "hw": (32, 32), "k": (3, 3), "s": (1, 1), "p": (1, 1), "d": (1, 1)}
POOL: dict[str, tuple[int, ...]] = {"n": (1,), "hw": (32, 32), "k": (3, 3), "s": (2, 2), "p": (1, 1), "c": (0,)}

IN_CONVOLUTIONS = ("relu", "sigmoid", "tanh", "hardtanh", "leaky_relu", "hardsigmoid", "hardswish")
IN_SUMS = ("relu", "sigmoid", "tanh", "hardsigmoid", "hardswish")
IN_LINEAR_LAYERS = ("relu", "sigmoid", "tanh", "leaky_relu", "hardsigmoid", "elu")
ALONE = ("relu", "sigmoid", "tanh", "hardtanh", "leaky_relu", "elu", "gelu", "silu", "hardswish", "hardsigmoid")

# large enough for a clock that ticks in microseconds; 60 channels do not fill the runtime's blocks of 8 or 16
SIGNATURES = [
    *(Signature.of(f"conv+{kind}", (64, 64), g=(1,), **CONV) for kind in IN_CONVOLUTIONS),
    *(Signature.of(f"dwconv+{kind}", (width,), **CONV) for kind in ("relu", "hardtanh") for width in (60, 128)),
    *(Signature.of(f"linear+{kind}", (512, 512), n=(8,)) for kind in IN_LINEAR_LAYERS),
    *(Signature.of(kind, (64,), **IMAGE) for kind in (*ALONE, "softplus", "softmax", "batch_norm")),
    *(Signature.of(kind, (64,), **IMAGE) for kind in ("add", "mul", "sub", "div")),
    Signature.of("mul", (64,), by=(1, 1, 0, 0), **IMAGE),
    Signature.of("conv", (64, 60), g=(1,), **CONV),
    Signature.of("conv", (64, 64), g=(4,), **CONV),
    Signature.of("conv+add", (64, 64), g=(1,), **CONV),
    Signature.of("conv+add+relu", (64, 64), g=(1,), **(CONV | {"s": (2, 2)})),
    Signature.of("dwconv", (64,), **CONV),
    Signature.of("linear", (512, 512), n=(8,)),
    Signature.of("matmul", (4, 64, 64, 64)),
    Signature.of("max_pool2d", (64,), **POOL),
    Signature.of("avg_pool2d", (64,), **POOL),
    Signature.of("mean", (64,), axes=(2, 3), **IMAGE),
    Signature.of("adaptive_avg_pool2d", (64,), out=(1, 1), **IMAGE),
    Signature.of("cat", (32, 64), axis=(1,), **IMAGE),
    Signature.of("slice", (64,), axis=(2,), window=(0, 31, 2), **IMAGE),
    Signature.of("pad", (64,), pads=(0, 0, 0, 0, 32, 32), **IMAGE),
    Signature.of("permute", (1, 256, 64), order=(0, 2, 1)),
    Signature.of("native_layer_norm", (64,), before=(1, 256), after=()),
]


def optimized(model: bytes | Path, folder: Path) -> onnx.GraphProto:
    """The network as the runtime rewrites it before it runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    source = str(model) if isinstance(model, Path) else model
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimized.onnx").graph


def signatures_of(graph: ModelGraph) -> list[Signature]:
    return [signature_of(graph, kernel, graph.dims) for kernel in find_kernels(graph.ops)]


def names(model: nn.Module, *shape: int) -> list[str]:
    graph = build_graph(randomize(model, 0), torch.ones(shape))
    return [signature_of(graph, kernel, graph.dims).op for kernel in find_kernels(graph.ops)]


def write_model(path: Path, width: int, layers: int = 1) -> Path:
    """Writes a network of square matrix products."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [width, width], np.zeros(width * width, np.float32))
    nodes = [helper.make_node("MatMul", [f"t{i}", "w"], [f"t{i + 1}"]) for i in range(layers)]
    ends = [helper.make_tensor_value_info(f"t{i}", TensorProto.FLOAT, [1, width]) for i in (0, layers)]
    graph = helper.make_graph(nodes, "products", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def measured() -> LatencyTable:
    return measure_table(LocalBench(), SIGNATURES)


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_every_kind_of_operator_is_measured(measured: LatencyTable, signature: Signature) -> None:
    entry = measured.entries[signature]
    assert 0 < entry.us < math.inf
    assert 0 <= entry.low <= entry.high < math.inf
    assert entry.runs > 1
    assert measured.lookup(signature).how == "measured"


def test_a_measured_table_says_how_and_what_the_runtime_costs(measured: LatencyTable) -> None:
    assert measured.device == LocalBench().device
    assert set(measured.entries) == set(SIGNATURES)
    assert math.isfinite(measured.overhead.run)
    assert math.isfinite(measured.overhead.kernel)
    assert "ONNX Runtime" in measured.method
    assert measured.measured_at.endswith("+00:00")


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_what_is_measured_is_the_operator_and_not_what_feeds_it(signature: Signature, tmp_path: Path) -> None:
    nodes = [node for node in optimized(side_by_side([signature]), tmp_path).node if not node.op_type.startswith("Reo")]
    mine = [node for node in nodes if "k0.op" in node.name]
    assert mine
    # what feeds it is still there, with nothing fused into it
    feeding = [node for node in nodes if "k0.src" in node.name and node.op_type in {"Conv", "Neg"}]
    assert len(feeding) == (2 if "add" in signature.op or signature.op in {"mul", "sub", "div", "cat", "matmul"} else 1)
    assert all(len(node.input) <= 2 and "activation" not in {a.name for a in node.attribute} for node in feeding)
    # and nothing of the operator goes by another name
    assert {node.name for node in nodes} - {node.name for node in mine} <= {
        node.name for node in nodes if "k0.src" in node.name or "k0.end" in node.name
    }


@pytest.mark.parametrize("kind", IN_CONVOLUTIONS)
def test_what_is_fused_runs_as_one_operator(kind: str, tmp_path: Path) -> None:
    graph = optimized(side_by_side([Signature.of(f"conv+{kind}", (16, 16), g=(1,), **CONV)]), tmp_path)
    (node,) = [node for node in graph.node if "k0.op" in node.name]
    assert (node.op_type, len(node.input)) == ("Conv", 3)


@pytest.mark.parametrize("kind", IN_SUMS)
def test_what_is_fused_with_an_addition_runs_as_one_operator(kind: str, tmp_path: Path) -> None:
    graph = optimized(side_by_side([Signature.of(f"conv+add+{kind}", (16, 16), g=(1,), **CONV)]), tmp_path)
    (node,) = [node for node in graph.node if "k0.op" in node.name]
    assert (node.op_type, len(node.input)) == ("Conv", 4)


@settings(max_examples=40)
@given(networks())
def test_every_operator_of_a_network_can_be_built_and_loaded(example: Example) -> None:
    graph = build_graph(*example)
    kernels = find_kernels(graph.ops)
    session = onnxruntime.InferenceSession(side_by_side(signatures_of(graph)), providers=["CPUExecutionProvider"])
    feeds = {item.name: np.ones(item.shape, np.float32) for item in session.get_inputs()}
    for kernel, output in zip(kernels, session.run(None, feeds), strict=True):
        assert output.size == math.prod(graph.ops[kernel[-1]].output), kernel
    # each operator is in one kernel, and what is in none moves no data
    inside = [index for kernel in kernels for index in kernel]
    assert len(inside) == len(set(inside))
    assert {graph.ops[index].kind for index in range(len(graph.ops)) if index not in inside} <= {"view", "t"}


def test_batch_normalization_and_activation_run_with_their_convolution() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.GELU(), Mean())
    assert names(nn.Sequential(*model, nn.Linear(8, 8), nn.ReLU()), 1, 3, 8, 8) == [
        "conv+relu", "conv", "gelu", "mean", "linear+relu"
    ]  # fmt: skip


def test_an_addition_runs_with_the_convolution_before_it() -> None:
    body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
    block = Residual(body, nn.Identity(), nn.ReLU())
    assert names(nn.Sequential(nn.Conv2d(3, 8, 3), block), 1, 3, 8, 8) == ["conv", "conv+add+relu"]


def test_of_two_convolutions_one_takes_the_addition() -> None:
    block = Residual(nn.Conv2d(3, 8, 1), nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)), nn.ReLU())
    assert sorted(names(block, 1, 3, 8, 8)) == ["conv", "conv+add+relu"]


def test_a_result_that_is_used_twice_is_not_fused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return torch.cat([y.relu(), y], 1)

    assert names(Twice(), 1, 3, 8, 8) == ["conv", "relu", "cat"]


class Gated(nn.Module):
    """Squeeze and excitation: each channel is multiplied by one number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.linear = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        gate = self.gate(y.mean((2, 3), keepdim=True)).sigmoid()
        return self.linear((gate * y).mean((2, 3)))


def test_a_gate_can_be_interpolated_between_widths() -> None:
    signatures = priced(Example(randomize(Gated(), 0), torch.ones(1, 3, 8, 8))).all_signatures(most=10**9)
    gates = [signature for signature in signatures if signature.op == "mul"]
    assert [gate.channels for gate in gates] == [(width,) for width in range(1, 9)]
    assert len({gate.family for gate in gates}) == 1
    assert gates[0].get("by") == (1, 1, 0, 0)


def test_channels_and_geometry_are_in_the_signature() -> None:
    layers = [nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 5, padding=2, groups=6)]
    graph = build_graph(randomize(nn.Sequential(*layers, Mean(), nn.Linear(6, 4)), 0), torch.ones(2, 3, 9, 8))
    assert [str(signature) for signature in signatures_of(graph)] == [
        "conv+relu 3,6 d=1x1 g=1 hw=9x8 k=3x3 n=2 p=1x1 s=2x2",
        "dwconv 6 d=1x1 hw=5x4 k=5x5 n=2 p=2x2 s=1x1",
        "mean 6 after=5x4 axes=2x3 before=2",
        "linear 6,4 n=2",
    ]


@pytest.mark.parametrize("width", [12, 16])
@pytest.mark.filterwarnings("ignore")
def test_the_runtime_fuses_a_network_as_its_kernels_say(width: int, tmp_path: Path) -> None:
    def conv(groups: int = 1, outputs: int = width) -> list[nn.Module]:
        return [nn.Conv2d(width, outputs, 3, padding=1, groups=groups), nn.BatchNorm2d(outputs)]

    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), *conv(groups=width), nn.ReLU6()]
    after_convolutions = [nn.ReLU6(), nn.Sigmoid(), nn.Tanh(), nn.LeakyReLU(), nn.Hardsigmoid(), nn.Hardswish()]
    for activation in (*after_convolutions, nn.GELU(), nn.SiLU()):
        layers += [*conv(), activation]
    layers += [nn.MaxPool2d(2), nn.ReLU(), *conv(), nn.ELU(), *conv(), nn.ReLU()]
    layers += [Residual(nn.Sequential(*conv(), nn.ReLU(), *conv()), nn.Identity(), nn.ReLU())]
    layers += [Residual(nn.Sequential(*conv(), nn.ReLU(), *conv()), nn.Sequential(*conv()), nn.Sigmoid())]
    layers += [Residual(nn.Sequential(*conv()), nn.Identity(), nn.ReLU6())]
    layers += [Residual(nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(3, 1, 1), nn.Identity())]
    layers += [Branches(nn.Sequential(*conv(), nn.ReLU()), nn.Identity()), nn.Conv2d(2 * width, width, 1), Mean()]
    for activation in (nn.ReLU(), *after_convolutions[:5], nn.ELU(), nn.GELU()):
        layers += [nn.Linear(width, width), activation]
    model = randomize(nn.Sequential(*layers), 0)
    inputs = torch.ones(1, 3, 8, 8)
    torch.onnx.export(model, (inputs,), tmp_path / "model.onnx", dynamo=True, verbose=False)

    onnx_names = {
        "conv": "Conv", "dwconv": "Conv", "linear": "Gemm", "mean": "ReduceMean", "max_pool2d": "MaxPool",
        "avg_pool2d": "AveragePool", "cat": "Concat", "add": "Add", "relu": "Relu", "elu": "Elu", "gelu": "Gelu",
        "silu": "QuickGelu", "hardtanh": "Clip", "sigmoid": "Sigmoid", "tanh": "Tanh", "leaky_relu": "LeakyRelu",
        "hardsigmoid": "HardSigmoid", "hardswish": "HardSwish",
    }  # fmt: skip
    expected: Counter[tuple[str, ...]] = Counter()
    for signature in signatures_of(build_graph(model, inputs)):
        expected[tuple(onnx_names[part] for part in signature.op.split("+"))] += 1
    found: Counter[tuple[str, ...]] = Counter()
    for node in optimized(tmp_path / "model.onnx", tmp_path).node:
        if not node.op_type.startswith("Reorder"):
            fused = [a.s.decode() for a in node.attribute if a.name == "activation"]
            added = ["Add"] if node.op_type == "Conv" and len(node.input) == 4 else []
            found[(node.op_type.removeprefix("Fused"), *added, *fused)] += 1
    assert found == expected


@pytest.mark.parametrize("option", ["A", "B"])
def test_a_residual_network_can_be_measured_at_all_its_widths(option: str) -> None:
    example = Example(randomize(CifarResNet(2, widths=(8, 16, 24), option=option), 0), torch.ones(1, 3, 16, 16))
    signatures = priced(example, SpaceConfig(channel_multiple=8)).all_signatures()
    session = onnxruntime.InferenceSession(side_by_side(signatures), providers=["CPUExecutionProvider"])
    assert len(session.get_outputs()) == len(signatures) > 10


def test_an_operator_that_cannot_be_built_is_refused_by_name() -> None:
    known = Signature.of("relu", (8,), **IMAGE)
    for name in ("roll", "grid_sampler_2d"):
        unknown = Signature.of(name, (8, 8), before=(1,), after=(4, 4), g=(1,), **CONV)
        with pytest.raises(TableError, match=f"operator '{name}' cannot be measured yet") as caught:
            side_by_side([known, unknown])
        assert "\n" not in str(caught.value)
    with pytest.raises(TableError, match="more than one pixel"):
        side_by_side([Signature.of("adaptive_avg_pool2d", (8,), out=(2, 2), **IMAGE)])


def test_models_are_timed_relative_to_the_first(tmp_path: Path) -> None:
    paths = [write_model(tmp_path / "small.onnx", 64), write_model(tmp_path / "large.onnx", 512, layers=16)]
    feeds = [{"t0": np.zeros((1, width), np.float32)} for width in (64, 512)]
    small, large = time_models(LocalBench(), paths, feeds, runs=5, passes=4)
    assert (small.ratio, small.ratio_low, small.ratio_high) == (1.0, 1.0, 1.0)
    assert large.ratio > 1  # a thousand times the work
    for timing in (small, large):
        assert 0 < timing.low <= timing.us <= timing.high
        assert timing.ratio_low <= timing.ratio <= timing.ratio_high
        assert timing.runs == 20


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_broken_model_is_a_failure_of_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RuntimeFailure, match="Timing it: the runtime failed: ") as caught:
        time_models(LocalBench(), [path], [{}], "Timing it")
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_inputs_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx", 64)
    with pytest.raises(RuntimeFailure, match=r"invalid dimensions for input: t0 .* Got: 7 Expected: 64") as caught:
        time_models(LocalBench(), [path], [{"t0": np.zeros((1, 7), np.float32)}], "Timing it")
    assert "\n" not in str(caught.value)


def test_what_runs_a_model_cannot_import_this_package() -> None:
    code = "import runpy, sys; {}; import automc"

    def status(first: str) -> int:
        command = [sys.executable, "-I", "-c", code.format(first), str(RUNNER)]
        return subprocess.run(command, stderr=subprocess.DEVNULL).returncode

    assert status("pass") == 0
    assert status("runpy.run_path(sys.argv[1])") == 1


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("shape", [(1, 16, 8, 8), (1, 5, 32)])
def test_a_concatenation_along_another_axis_than_the_channels_is_built(shape: tuple[int, ...], int8: bool) -> None:
    class Along(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Conv2d(16, 16, 1) if len(shape) == 4 else nn.Linear(32, 32) for _ in range(2)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([layer(x) for layer in self.layers], dim=len(shape) - 2)

    graph = build_graph(Along().eval(), torch.randn(shape))
    (cat,) = [index for index, op in enumerate(graph.ops) if op.kind == "cat"]
    signature = signature_of(graph, [cat], graph.dims, int8=int8)
    width = shape[1] if len(shape) == 4 else shape[2]
    assert signature.channels == (shape[-2], shape[-2], width)
    session = onnxruntime.InferenceSession(side_by_side([signature]), providers=["CPUExecutionProvider"])
    (joined,) = session.run(None, {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()})
    assert joined.shape == (shape[0], 8 if int8 else 16, 16, 8) if len(shape) == 4 else joined.shape[-1] in (8, 32)
