"""What everything promises on which models are timed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from automc.devices import Bench, time_models
from automc.errors import RuntimeFailure


class BenchSuite(ABC):
    """Subclass it as ``TestMyBench`` and give `make`; pytest runs the rest."""

    @abstractmethod
    def make(self) -> Bench:
        """Returns the bench under test."""

    @pytest.fixture(scope="class")
    def bench(self) -> Bench:
        """The bench, made once."""
        return self.make()

    def test_the_device_is_itself_again(self, bench: Bench) -> None:
        """Tables are kept by it."""
        assert bench.device == self.make().device
        assert bench.name

    def test_models_take_turns_and_each_has_its_time(self, bench: Bench, tmp_path: Path) -> None:
        """Ratios are to the first."""
        models = [write_model(tmp_path / f"{size}.onnx", size) for size in (64, 256)]
        inputs = [{"x": np.ones((1, size), np.float32)} for size in (64, 256)]
        first, second = time_models(bench, models, inputs, runs=5, passes=4)
        for timing in (first, second):
            assert 0 < timing.low <= timing.us <= timing.high
            assert (timing.runs, len(timing.medians)) == (20, 4)
        assert first.ratio == 1.0
        assert second.ratio > 1.0

    def test_nodes_are_timed_by_their_names(self, bench: Bench, tmp_path: Path) -> None:
        """As often as asked, in each pass; the graph comes back where it was asked for."""
        models = [write_model(tmp_path / f"{number}.onnx", 64) for number in range(2)]
        answer = bench.run("profile", "Profiling", 6, models, runs=4, warmup=2, passes=3, graphs=[1])
        assert [one["graph"] is None for one in answer] == [True, False]
        for one in answer:
            assert [len(nodes["product"]) for nodes in one["passes"]] == [4, 4, 4]

    def test_a_model_that_cannot_run_is_an_error_in_one_line(self, bench: Bench, tmp_path: Path) -> None:
        """And the bench goes on."""
        (tmp_path / "bad.onnx").write_bytes(b"no model")
        with pytest.raises(RuntimeFailure) as caught:
            time_models(bench, [tmp_path / "bad.onnx"], [{}], runs=1, passes=1)
        assert "\n" not in str(caught.value)
        good = write_model(tmp_path / "good.onnx", 8)
        assert time_models(bench, [good], [{"x": np.ones((1, 8), np.float32)}], runs=1, passes=1)[0].us > 0


def write_model(path: Path, size: int) -> Path:
    """Writes a model of one product, the node ``product``, of a row and a square matrix."""
    weight = onnx.numpy_helper.from_array(np.eye(size, dtype=np.float32), "w")
    row = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    graph = helper.make_graph([node], "row", row[:1], row[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
