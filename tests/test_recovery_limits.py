"""Recovery where memory or examples lack, on values that are not finite, and the statistics of norms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from automc import progress
from automc.compression import Calibration, LeastSquares, compress, magnitudes, recalibrate
from automc.compression.calibration import say_once
from automc.errors import SearchError, TaskError, lacking
from automc.graph import build_graph
from tests.networks import Mean, keep, randomize, smooth_images
from tests.refits import alike, relative_error


class Heavy(nn.Module):
    """Needs more memory than there is for more than some examples."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 10**9

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return x


def test_where_memory_lacks_fewer_examples_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = Heavy()
    said: list[str] = []
    monkeypatch.setattr(progress, "say", said.append)
    say_once.cache_clear()
    layers = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), heavy, nn.Conv2d(6, 6, 3), Mean(), nn.Linear(6, 3)]
    model = randomize(nn.Sequential(*layers), seed=0)
    graph = build_graph(model, smooth_images(1))

    def refitted(inputs: Tensor, most: int) -> nn.Module:
        model.get_submodule("2").most = 10**9  # type: ignore[assignment]
        recovery = LeastSquares(model, graph, inputs)
        compressed = compress(model, graph, keep("0", 5), magnitudes(model, graph))
        compressed.model.get_submodule("2").most = most  # type: ignore[assignment]
        recovery.refit(compressed)
        return compressed.model

    lacked, fewer = refitted(smooth_images(64), 20), refitted(smooth_images(64)[:16], 64)
    assert relative_error(lacked, fewer, smooth_images(8, seed=2)) < 1e-8
    assert [line for line in said if "going on with 16 calibration examples" in line]
    with pytest.raises(SearchError, match="not enough memory for a single calibration example") as caught:
        refitted(smooth_images(8), 0)
    assert lacking(caught.value) == "memory"
    model.get_submodule("2").most = 3  # type: ignore[assignment]
    LeastSquares(model, graph, smooth_images(8))  # observed three at a time


def test_what_is_not_finite_is_refused_by_its_name() -> None:
    model = randomize(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), Mean(), nn.Linear(6, 3)), seed=0)
    graph, inputs = build_graph(model, smooth_images(1)), smooth_images(8)
    inputs[2] = torch.inf
    with pytest.raises(TaskError, match="layer '0' puts out values that are not finite"):
        LeastSquares(model, graph, inputs)
    with torch.no_grad():
        next(model.get_submodule("1").parameters()).fill_(torch.nan)
    with pytest.raises(TaskError, match=r"parameter '1\.weight' \(Conv2d\) has values that are not finite"):
        LeastSquares(model, graph, smooth_images(8))


def test_too_few_examples_are_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "say", said.append)
    say_once.cache_clear()
    model = alike(0)
    graph = build_graph(model, smooth_images(1))
    for _ in range(2):
        LeastSquares(model, graph, smooth_images(4))
    assert len(said) == 1
    assert "4 calibration examples give" in said[0]
    LeastSquares(model, graph, smooth_images(64))
    assert len(said) == 1


def test_recalibrated_norms_have_the_statistics_of_what_they_read() -> None:
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5)]
    model = randomize(nn.Sequential(*layers), seed=0)
    inputs = smooth_images(300)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    recalibrate(model, Calibration(inputs))
    with torch.no_grad():
        outputs = model.get_submodule("0")(inputs)
    mean = model.get_submodule("1").running_mean
    halves = [outputs[:256].mean((0, 2, 3)), outputs[256:].mean((0, 2, 3))]
    assert isinstance(mean, Tensor)
    assert torch.allclose(mean, torch.stack(halves).mean(0), atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_parameters())
    assert not any(module.training for module in model.modules())
