"""Which channels stay: what every selector keeps to, and what each is for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from automc.compression import SELECTORS, Calibration, Methods, compress, magnitudes, make_selector
from automc.errors import ConfigError, TaskError
from automc.graph import ModelGraph, build_graph
from automc.models import CifarResNet
from tests.foreign import foreign
from tests.networks import Branches, Mean, Residual, halved, randomize, smooth_images, state_of


def chain() -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), Mean(), nn.Linear(6, 4)]
    return nn.Sequential(*layers)


def depthwise() -> nn.Module:
    body = [nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 1)]
    return nn.Sequential(*body, Mean(), nn.Linear(6, 4))


def flattened() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 8), nn.Linear(8, 4))


def several_readers() -> nn.Module:
    branches = Branches(nn.Conv2d(8, 5, 3, padding=1), nn.Conv2d(8, 7, 1))
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), branches, nn.ReLU(), Mean(), nn.Linear(12, 4))


def transposed() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 5, 2, 2), Mean(), nn.Linear(5, 4))


def stream() -> nn.Module:
    return CifarResNet(2, widths=(8, 8, 8), classes=4, option="B")


NETWORKS = (chain, depthwise, flattened, several_readers, transposed, stream)


def calibration_of(model: nn.Module, inputs: Tensor | dict[str, Tensor]) -> Calibration:
    def loss(outputs: object, targets: Tensor) -> Tensor:
        logits = outputs if isinstance(outputs, Tensor) else outputs.logits  # type: ignore[attr-defined]
        return nn.functional.cross_entropy(logits, targets)

    count = len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs)
    return Calibration(inputs, torch.arange(count) % 3, loss)


def check(name: str, model: nn.Module, graph: ModelGraph, calibration: Calibration) -> None:
    assert graph.prunable
    before = state_of(model)
    scores = make_selector(name).scores(model, graph, calibration)
    assert state_of(model) == before
    assert {unit: tuple(score.shape) for unit, score in scores.items()} == {
        group.name: (group.channels,) for group in graph.prunable
    }
    for score in scores.values():
        assert score.isfinite().all()
        assert len(set(score.tolist())) > 1
    again = make_selector(name).scores(model, graph, calibration)
    assert all(torch.equal(again[unit], score) for unit, score in scores.items())
    compress(model, graph, halved(graph), scores)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", SELECTORS)
def test_a_selector_keeps_its_contract(name: str, network: object) -> None:
    assert callable(network)
    model = randomize(network(), seed=0)
    check(name, model, build_graph(model, smooth_images(1)), calibration_of(model, smooth_images(40, seed=1)))


@pytest.mark.parametrize("network", ["ResNet, bottlenecks", "ViT", "BERT"])
def test_selectors_keep_their_contract_on_networks_of_others(network: str) -> None:
    model, inputs = foreign(network)
    graph = build_graph(model, inputs)
    if not graph.prunable:
        pytest.skip("nothing of it can be pruned")
    for name in SELECTORS:
        check(name, model, graph, calibration_of(model, foreign(network, batch=4).inputs))


def test_an_unknown_selector_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown selector 'magnitud' \(did you mean 'magnitude'\?\)"):
        make_selector("magnitud")
    with pytest.raises(ValueError, match="did you mean 'second_order'"):
        Methods(selection="second-order")


def test_l2_takes_the_norm_of_what_reads_a_channel() -> None:
    reader = nn.Conv2d(3, 2, 1)
    model = randomize(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), reader, Mean(), nn.Linear(2, 2)), seed=0)
    graph = build_graph(model, smooth_images(1))
    with torch.no_grad():
        reader.weight.copy_(torch.tensor([[3.0, 1.0, 0.0], [-4.0, 0.0, 2.0]])[:, :, None, None])
    scores = make_selector("l2").scores(model, graph, Calibration(smooth_images(1)))
    assert torch.allclose(scores["0"], torch.tensor([5.0, 1.0, 2.0]) / (8 / 3))


def test_batchnorm_takes_scales_and_elsewhere_magnitudes() -> None:
    model = randomize(chain(), seed=0)
    graph = build_graph(model, smooth_images(1))
    scores = make_selector("batchnorm").scores(model, graph, Calibration(smooth_images(1)))
    scale = model.get_submodule("1").weight
    assert isinstance(scale, Tensor)
    assert scores["0"].argsort().tolist() == scale.detach().abs().argsort().tolist()
    assert torch.equal(scores["3"], magnitudes(model, graph)["3"])


def test_taylor_is_the_squared_derivative_of_the_loss_by_a_gate() -> None:
    model = randomize(several_readers(), seed=0)
    graph = build_graph(model, smooth_images(1))
    calibration = calibration_of(model, smooth_images(40, seed=1))
    expected = torch.zeros(8)
    for inputs, targets in calibration.batches(16):
        gate = torch.ones(8, requires_grad=True)
        handle = model.get_submodule("1").register_forward_hook(
            lambda module, args, output, gate=gate: output * gate[:, None, None]
        )
        assert calibration.loss is not None
        calibration.loss(model(inputs), targets).backward()
        handle.remove()
        assert gate.grad is not None
        expected += gate.grad.square()
    model.zero_grad()
    scores = make_selector("taylor").scores(model, graph, calibration)["0"]
    assert torch.allclose(scores.float(), expected, rtol=1e-3)


def test_taylor_without_targets_is_refused() -> None:
    model = randomize(chain(), seed=0)
    with pytest.raises(ConfigError, match="taylor needs a task with targets and a loss"):
        make_selector("taylor").scores(model, build_graph(model, smooth_images(1)), Calibration(smooth_images(4)))


def test_second_order_drops_first_what_the_others_make_up_for() -> None:
    model = randomize(nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 1), Mean(), nn.Linear(5, 3)), seed=0)
    first, reader, generator = model.get_submodule("0"), model.get_submodule("1"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        assert isinstance(first.weight, Tensor) and isinstance(first.bias, Tensor) and isinstance(reader.weight, Tensor)
        first.weight[4], first.bias[4] = first.weight[1], first.bias[1]
        reader.weight[:, 4] *= 3  # the largest weights of all
    scores = make_selector("second_order").scores(
        model, build_graph(model, smooth_images(1)), Calibration(torch.randn(64, 3, 8, 8, generator=generator))
    )["0"]
    assert set(scores.argsort()[:1].tolist()) <= {1, 4}
    assert magnitudes(model, build_graph(model, smooth_images(1)))["0"].argmax() == 4


def test_second_order_finds_the_error_that_least_squares_leaves() -> None:
    model = randomize(several_readers(), seed=0)
    inputs = torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(0))  # so small that all is sampled
    graph = build_graph(model, inputs[:1])
    scores = make_selector("second_order").scores(model, graph, Calibration(inputs))["0"]
    with torch.no_grad():
        read = nn.functional.relu(model.get_submodule("0")(inputs))
    errors = torch.zeros(8, dtype=torch.float64)
    for reader, size in (("2.left", 3), ("2.right", 1)):
        weight = model.get_submodule(reader).weight
        assert isinstance(weight, Tensor)
        rows = nn.functional.unfold(read, size, padding=size // 2).movedim(1, -1).flatten(0, 1).double()
        target = rows @ weight.detach().flatten(1).T.double()
        for channel in range(8):
            rest = rows.unflatten(1, (8, -1))[:, [c for c in range(8) if c != channel]].flatten(1)
            solution = torch.linalg.lstsq(rest, target).solution
            errors[channel] += (rest @ solution - target).square().sum() / target.square().sum()
    assert scores.argmin() == errors.argmin()
    assert float(scores.min()) == pytest.approx(float(errors.min()), rel=0.25)


def test_second_order_names_the_layer_that_reads_what_is_not_finite() -> None:
    model = randomize(chain(), seed=0)
    graph = build_graph(model, smooth_images(1))
    inputs = smooth_images(4)
    inputs[0] = math.inf
    with pytest.raises(TaskError, match="layer '3' reads values that are not finite"):
        make_selector("second_order").scores(model, graph, Calibration(inputs))


def test_a_residual_stream_is_scored_by_all_that_read_it() -> None:
    body = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1))
    rest = [Residual(body, nn.Identity(), nn.ReLU()), nn.Conv2d(8, 6, 1), Mean(), nn.Linear(6, 3)]
    model = randomize(nn.Sequential(nn.Conv2d(3, 8, 1), *rest), seed=0)
    graph = build_graph(model, smooth_images(1))
    group = next(group for group in graph.prunable if group.channels == 8)
    with torch.no_grad():
        for name in ("1.body.0", "2"):
            weight = model.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            weight[:, 5] = 0  # nobody reads it
    for name in set(SELECTORS) - {"batchnorm"}:
        scores = make_selector(name).scores(model, graph, calibration_of(model, smooth_images(32)))
        if name in {"taylor", "second_order"}:
            assert scores[group.name].argmin() == 5
