"""Training through the quantizers: it learns, settles into levels without a change, and is resumed as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from automc.compression import Learned, Quantized
from automc.graph import build_graph
from automc.search_spaces.policy import INT8_BITS
from automc.tasks import Inputs, example
from automc.tasks.loops import score
from automc.tasks.training import Training, train
from tests.trained import Blobs

TASK = Blobs()
TRAINING = Training(epochs=2, rate=0.02)


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    return TASK.model()


def learned(teacher: nn.Module, bits: tuple[int, int], every: int = 1) -> Learned:
    names = [layer.name for layer in build_graph(teacher, example(TASK)).weighted][::every]
    return Learned(teacher, example(TASK, 64), dict.fromkeys(names, bits))


def loss(model: nn.Module, teacher: nn.Module) -> float:
    inputs, _ = next(iter(TASK.batches("train")))
    with torch.no_grad():
        return float(TASK.distill(model.eval()(inputs), teacher(inputs)))


@pytest.mark.parametrize("bits", [(2, 2), (3, 32), (32, 2), INT8_BITS])
def test_training_lowers_the_loss_and_settles_into_the_same_network(bits: tuple[int, int], teacher: nn.Module) -> None:
    model = learned(teacher, bits)
    before = loss(model, teacher)
    steps = {name: value.clone() for name, value in model.named_parameters() if name.endswith("scale")}
    train(model, TASK, TRAINING, seed=0, description="", teacher=teacher)
    after = loss(model, teacher)
    assert bits == INT8_BITS or after < 0.9 * before
    assert all(not torch.equal(steps[name], dict(model.named_parameters())[name]) for name in steps)
    settled = model.settled()
    assert isinstance(settled, Quantized)
    assert loss(settled, teacher) == pytest.approx(after, rel=0.1, abs=0.01)
    assert not any(parameter.requires_grad and parameter.dtype == torch.int8 for parameter in settled.parameters())


@pytest.mark.parametrize("every", [1, 2, 3])
def test_untrained_it_settles_into_what_it_is(every: int, teacher: nn.Module) -> None:
    """Also where layers in float, with a BatchNorm of their own, stand between."""
    model = learned(teacher, (6, 6), every).eval()
    settled = model.settled()
    inputs = example(TASK, 32, "test")
    with torch.no_grad():
        want, got, original = model(inputs), settled(inputs), teacher(inputs)
    assert (got - want).abs().max() <= 0.03 * (want.max() - want.min())
    assert (got - original).norm() < 0.2 * original.norm()
    fresh = Quantized(teacher, example(TASK), settled.bits)
    fresh.load_state_dict(settled.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(inputs), got)


def test_a_resumed_training_ends_as_an_undisturbed_one(
    teacher: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = learned(teacher, (4, 4))
    train(undisturbed, TASK, TRAINING, seed=0, description="", teacher=teacher)

    class Killed(BaseException):
        pass

    calls = []
    augment = Blobs.augment

    def fail(self: Blobs, inputs: Inputs, generator: torch.Generator) -> Inputs:
        calls.append(inputs)
        if len(calls) == 24:  # in the second epoch
            raise Killed
        return augment(self, inputs, generator)

    resumed, file = learned(teacher, (4, 4)), tmp_path / "training.pt"
    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "augment", fail)
        with pytest.raises(Killed):
            train(resumed, TASK, TRAINING, seed=0, description="", teacher=teacher, checkpoint=file)
    resumed = learned(teacher, (4, 4))
    train(resumed, TASK, TRAINING, seed=0, description="", teacher=teacher, checkpoint=file)
    one, other = undisturbed.settled().state_dict(), resumed.settled().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert score(resumed.settled(), TASK, "search") > 0.5
