"""Policies get the same score every time, in the precision that is recorded, and inputs are read once."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from automc.costs import Budget, CostModel, Projection
from automc.errors import TaskError
from automc.evaluation import Evaluator, Fidelity, Forward, forward
from automc.evaluation.forward import Kept, Precision
from automc.graph import build_graph
from automc.search_spaces import Policy, SpaceConfig, build_space
from automc.tasks import Batch, Split, Task, example
from automc.tasks.loops import score
from tests.trained import Blobs, Pairs

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


class Counting(Blobs):
    """Counts how often a split is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = {"train": 0, "search": 0, "test": 0}

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        self.reads[split] += 1
        yield from super().batches(split, n, seed)


class Head(nn.Module):
    """A convolution whose outputs a function turns into logits."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function, self.conv, self.out = function, nn.Conv2d(1, 4, 3, 4), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.out(torch.relu(self.conv(x)))
        if self.function == "numpy":  # impossible in bfloat16
            return torch.from_numpy(x.numpy()).mean((2, 3))
        return (x.mean((2, 3)) + 1000) - 1000  # nothing is left of it in bfloat16


class View(nn.Module):
    """Flattens several pixels of each channel with `view`, impossible where channels are last in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(2, 8, 3, 4), nn.Linear(72, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.relu(self.conv(x)).view(len(x), -1))


class Views(Blobs):
    """Blobs with two channels for such a network."""

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return View()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        for images, targets in super().batches(split, n, seed):
            assert isinstance(images, Tensor)
            yield torch.cat([images, images.flip(-1)], 1), targets


class Heads(Blobs):
    """Blobs for a network with such a head."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function = function

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return Head(self.function)


def evaluator(task: Task, fidelity: Fidelity | None = None) -> Evaluator:
    model = task.model().eval()
    return Evaluator(task, model, build_graph(model, example(task)), fidelity or Fidelity(calibration_images=64))


def policies(subject: Evaluator, n: int, budget: str) -> list[Policy]:
    space = build_space(subject.graph, SpaceConfig(channel_multiple=1, min_keep=0.1), 1)
    projection = Projection(CostModel(subject.graph, space), [Budget.parse(budget)])
    rows = space.sample(np.random.default_rng(0), n)
    return [space.decode(projection.project(row)) for row in rows]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("task", [Blobs(), Pairs()])
def test_a_policy_gets_the_same_score_from_any_evaluator(task: Task, precision: Precision) -> None:
    fidelity = Fidelity(calibration_images=64, precision=precision)
    one, other = evaluator(task, fidelity), evaluator(task, fidelity)
    assert one.precision == other.precision == precision
    asked = policies(one, 4, "macs<=60%")
    first = [one.evaluate(policy).score for policy in asked]
    again = [one.score(one.compressor.build(policy).model) for policy in asked]
    # in another order, and after other work
    fresh = [other.evaluate(policy).score for policy in reversed(asked)][::-1]
    assert first == again == fresh


def test_in_float32_the_score_is_the_tasks_own() -> None:
    subject = evaluator(Blobs(), Fidelity(precision="float32", search_images=100))
    assert subject.score(subject.model) == score(subject.model, subject.task, "search", 100)


@pytest.mark.parametrize("there", [True, False])
def test_auto_takes_bfloat16_where_the_processor_has_it(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "has_bfloat16", lambda: there)
    assert evaluator(Blobs()).precision == ("bfloat16" if there else "float32")


@pytest.mark.parametrize("function", ["numpy", "sum"])
def test_auto_takes_float32_for_networks_that_cannot_do_with_less(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "has_bfloat16", lambda: True)
    task = Heads(function)
    assert Forward(task, task.model()).precision == "float32"


def test_bfloat16_that_the_network_does_not_run_in_is_refused() -> None:
    task = Heads("numpy")
    with pytest.raises(TaskError, match=r"fidelity\.precision: the model does not run in bfloat16.*float32") as refused:
        Forward(task, task.model(), "bfloat16")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_that_needs_its_inputs_as_they_are_is_evaluated(precision: Precision) -> None:
    fidelity = Fidelity(calibration_images=64, precision=precision)
    subject = evaluator(Views(), fidelity)
    assert [subject.evaluate(policy).score for policy in policies(subject, 2, "macs<=80%")]


def test_bfloat16_ranks_policies_as_float32_does() -> None:
    subjects = [evaluator(Blobs(), Fidelity(precision=precision)) for precision in PRECISIONS]
    asked = [policy for budget in (3, 5, 10, 30) for policy in policies(subjects[0], 6, f"macs<={budget}%")]
    exact, rounded = ([subject.evaluate(policy).score for policy in asked] for subject in subjects)
    assert max(exact) - min(exact) > 0.2
    assert spearmanr(exact, rounded).statistic > 0.95


def test_search_images_are_read_once() -> None:
    task = Counting()
    subject = evaluator(task)
    for policy in policies(subject, 3, "macs<=60%"):
        subject.evaluate(policy)
    assert task.reads["search"] == 1


@pytest.mark.parametrize(("limit", "reads"), [(0, 3), (128 * (144 * 4 + 8) - 1, 3), (128 * (144 * 4 + 8), 1)])
def test_no_more_is_kept_than_the_limit(limit: int, reads: int) -> None:
    task = Counting()
    kept = Kept(task, "search", None, Forward(task, task.model(), "float32"), limit)
    passes = [list(kept) for _ in range(3)]
    assert task.reads["search"] == reads
    expected = list(Blobs().batches("search"))
    for batches in passes:
        assert len(batches) == len(expected)
        for (inputs, targets), (images, labels) in zip(batches, expected, strict=True):
            assert isinstance(inputs, Tensor) and isinstance(images, Tensor)
            assert torch.equal(inputs, images)
            assert torch.equal(targets, labels)


def test_what_is_kept_is_no_view_of_the_tasks_own_memory() -> None:
    task = Blobs()
    given = torch.randn(2, 3, 4, 4)
    prepared = Forward(task, task.model(), "float32").prepare({"a": given, "b": given[:, 0, 0]})
    assert isinstance(prepared, dict)
    expected = given.clone()
    given.zero_()
    assert torch.equal(prepared["a"], expected)
    assert torch.equal(prepared["b"], expected[:, 0, 0])
    assert prepared["a"].is_contiguous(memory_format=torch.channels_last)
