"""One training loop: it goes on where it was interrupted, keeps its limits, and draws a network to its teacher."""

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from automc.errors import TaskError
from automc.tasks import Batch, Inputs, Split, Task, call, example, training
from automc.tasks.loops import score
from automc.tasks.training import Trained, Training, train
from tests.trained import Blobs

BATCHES = 4


class Small(Task):
    """A few noisy examples, changed at random in training; notes which splits and how many batches are asked for."""

    def __init__(self) -> None:
        self.splits: set[Split] = set()
        self.given = 0
        self.fails_at: int | None = None

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        layers = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(96, 3)
        return nn.Sequential(*layers).eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        self.splits.add(split)
        generator = torch.Generator().manual_seed(1)
        targets = torch.randint(3, (8 * BATCHES,), generator=generator)
        images = torch.randn(len(targets), 1, 6, 6, generator=generator) + targets[:, None, None, None]
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        for part in order[:n].split(8):
            yield images[part], targets[part]

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        assert isinstance(inputs, Tensor)
        self.given += 1
        if self.given == self.fails_at:
            raise KeyboardInterrupt
        return inputs + 0.1 * torch.randn(inputs.shape, generator=generator)


class Regression(Small):
    """Outputs are no logits."""

    metric = "error"

    def score(self, outputs: Any, targets: Any) -> float:
        return float(outputs.square().mean())

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        return outputs.square().mean()


def weights(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def run(task: Task, settings: Training, checkpoint: Path | None = None, teacher: bool = True) -> nn.Module:
    model = task.model()
    train(
        model,
        task,
        settings,
        seed=3,
        description="Training",
        teacher=task.model() if teacher else None,
        checkpoint=checkpoint,
    )
    return model


@pytest.mark.parametrize("fails_at", [1, BATCHES + 2, 3 * BATCHES])
def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path: Path, fails_at: int) -> None:
    settings, task = Training(epochs=3, rate=0.1), Small()
    torch.manual_seed(5)
    undisturbed = run(task, settings, tmp_path / "undisturbed")
    task.given, task.fails_at = 0, fails_at
    with pytest.raises(KeyboardInterrupt):
        run(task, settings, tmp_path / "training")
    torch.manual_seed(6)  # what the process has drawn so far makes no difference
    task.given, task.fails_at = 0, None
    resumed = run(task, settings, tmp_path / "training")
    assert task.given == 3 * BATCHES - (fails_at - 1) // BATCHES * BATCHES  # no finished epoch is repeated
    assert same(resumed, undisturbed)
    assert not same(resumed, task.model())
    again = run(task, settings, tmp_path / "training")
    assert same(again, undisturbed)


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None])
def test_a_checkpoint_of_something_else_is_not_gone_on_with(tmp_path: Path, damage: bytes | None) -> None:
    path, task = tmp_path / "training", Small()
    settings = Training(epochs=1, rate=0.1)
    run(task, settings.model_copy(update={"rate": 0.2}), path)
    if damage is not None:
        path.write_bytes(damage)
    assert same(run(task, settings, path), run(task, settings))


def test_only_the_training_split_is_read_and_the_teacher_stays(tmp_path: Path) -> None:
    task = Small()
    teacher, model = task.model().train(), task.model()
    before = copy.deepcopy(teacher)
    took = train(model, task, Training(epochs=2, rate=0.1), seed=0, description="Training", teacher=teacher)
    assert task.splits == {"train"}
    assert same(teacher, before)
    assert teacher.training
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    assert took.epochs == 2
    assert not model.training
    assert all(tensor.is_contiguous() and tensor.device.type == "cpu" for tensor in weights(model))


@pytest.mark.parametrize("task", [Small(), Regression()])
def test_distillation_alone_brings_outputs_near_the_teachers(task: Task) -> None:
    teacher, model = task.model(), task.model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    inputs = example(task, 32)

    def distance() -> float:
        with torch.no_grad():
            return task.distill(call(model, inputs), call(teacher, inputs)).item()

    before = distance()
    train(model, task, Training(epochs=8, rate=0.02, distillation=1), seed=0, description="x", teacher=teacher)
    assert distance() < before / 2


def test_logits_are_compared_as_distributions_and_other_outputs_as_numbers() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    task, regression = Small(), Regression()
    assert task.distill(logits, logits + 7).item() == pytest.approx(0, abs=1e-5)
    assert task.distill(logits, -logits).item() > 0.1
    # at a high temperature it is the squared difference of centred logits (Hinton et al., 2015), halved, over classes
    centred = 2 * (logits - logits.mean(1, keepdim=True))
    assert task.distill(logits, -logits, 1e3).item() == pytest.approx(centred.square().sum().item() / 30, rel=0.01)
    assert regression.distill(logits, logits + 7).item() == pytest.approx(49)
    nested = {"boxes": logits, "others": (logits, torch.arange(3))}
    moved = {"boxes": logits + 1, "others": (logits + 3, torch.arange(3))}
    assert task.distill(nested, moved).item() == pytest.approx(5)


class Clock:
    """A second passes between two looks at it."""

    def __init__(self) -> None:
        self.seconds = itertools.count(100)

    def monotonic(self) -> float:
        return float(next(self.seconds))


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rates of all steps, by a clock that counts looks."""
    seen: list[float] = []
    at = Training.rate_at

    def note(self: Training, share: float) -> float:
        seen.append(at(self, share))
        return seen[-1]

    monkeypatch.setattr(Training, "rate_at", note)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=Clock().monotonic))
    return seen


@pytest.mark.parametrize("minutes", [None, 100])
def test_the_rate_rises_shortly_and_falls_to_zero(rates: list[float], minutes: float | None) -> None:
    run(Small(), Training(epochs=10, rate=0.1, minutes=minutes))
    highest = rates.index(max(rates))
    assert len(rates) == 10 * BATCHES
    assert max(rates) == pytest.approx(0.1, rel=0.02)
    assert rates[:highest] == sorted(rates[:highest])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    assert 0 < highest < 10
    assert rates[-1] < 0.001


def test_a_limit_in_minutes_ends_training_with_the_rate_near_zero(rates: list[float]) -> None:
    task = Small()
    took = train(task.model(), task, Training(epochs=1000, rate=0.1, minutes=1), seed=0, description="x")
    assert task.given == len(rates) == round(BATCHES * took.epochs)
    assert 40 < task.given < 60  # an epoch takes some looks at the clock more
    assert took.seconds == pytest.approx(60, abs=1)
    assert max(rates) > 0.09
    assert rates[-1] < 0.001


def test_the_time_of_earlier_sessions_counts(rates: list[float], tmp_path: Path) -> None:
    task, settings = Small(), Training(epochs=1000, rate=0.1, minutes=1)

    def session() -> Trained:
        return train(task.model(), task, settings, seed=0, description="x", checkpoint=tmp_path / "training")

    task.fails_at = 5 * BATCHES + 1
    with pytest.raises(KeyboardInterrupt):
        session()
    took = session()
    first = task.given
    assert 40 < BATCHES * took.epochs < 60
    assert first < 60 + 1  # the batch at which it was interrupted was lost
    assert session() == took  # what has ended is not trained further
    assert task.given == first


def test_a_loss_that_is_no_number_is_refused_in_one_line() -> None:
    class Diverges(Small):
        def loss(self, outputs: Any, targets: Any) -> Tensor:
            return super().loss(outputs, targets) * float("nan")

    with pytest.raises(TaskError, match=r"epoch 1 of 2: the loss of batch 1 is nan; lower .*0\.3") as refused:
        run(Diverges(), Training(epochs=2, rate=0.3))
    assert "\n" not in str(refused.value)


def test_what_cannot_be_trained_is_refused() -> None:
    class Empty(Small):
        def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
            yield from ()

    with pytest.raises(TaskError, match="train split has no batch"):
        run(Empty(), Training(epochs=1, rate=0.1))
    with pytest.raises(TaskError, match="no parameter that requires gradients"):
        train(Small().model().requires_grad_(False), Small(), Training(epochs=1, rate=1), seed=0, description="x")


def test_a_network_that_needs_contiguous_inputs_is_trained() -> None:
    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(1, 6, 3), nn.Linear(96, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return self.linear(x.view(len(x), -1))

    class Views(Small):
        def model(self) -> nn.Module:
            torch.manual_seed(0)
            return Viewing()

    assert not same(run(Views(), Training(epochs=1, rate=0.1)), Views().model())


def test_training_makes_a_network_better() -> None:
    task = Blobs()
    model = task.model()
    nn.init.zeros_(model.get_submodule("linear").get_parameter("weight"))
    assert score(model, task, "search") < 0.5
    train(model, task, Training(epochs=2, rate=0.05), seed=0, description="Training", teacher=task.model())
    assert score(model, task, "search") > 0.9


def test_each_epoch_can_be_looked_at_and_stays_as_it_is(tmp_path: Path) -> None:
    settings, task, checkpoint = Training(epochs=3, rate=0.1), Small(), tmp_path / "training"
    seen: list[Trained] = []

    def look(network: nn.Module, so_far: Trained) -> None:
        assert not network.training
        assert all(torch.equal(a, b) for a, b in zip(weights(network), noted(), strict=True))
        nn.init.zeros_(network.get_submodule("5").get_parameter("weight"))  # it is a copy
        torch.manual_seed(7)
        seen.append(so_far)
        if len(seen) == 2:
            raise KeyboardInterrupt

    def noted() -> list[Tensor]:
        return list(torch.load(checkpoint, weights_only=True)["model"].values())

    def session() -> nn.Module:
        model = task.model()
        train(model, task, settings, seed=3, description="x", checkpoint=checkpoint, on_epoch=look)
        return model

    with pytest.raises(KeyboardInterrupt):
        session()
    resumed = session()
    assert [one.epochs for one in seen] == [1, 2, 3]
    assert seen[0].seconds < seen[1].seconds < seen[2].seconds
    assert same(resumed, run(task, settings, teacher=False))
