"""What every task promises."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import pytest
import torch
from torch.utils import _pytree as pytree

from automc.tasks import Batch, Split, Task, call, example

_SPLITS: tuple[Split, ...] = ("train", "search", "test")


class TaskSuite(ABC):
    """Subclass it as ``TestMyTask`` and give `make`; pytest runs the rest."""

    @abstractmethod
    def make(self) -> Task:
        """Returns the task under test."""

    @pytest.fixture(scope="class")
    def task(self) -> Task:
        """The task, made once."""
        return self.make()

    @pytest.mark.parametrize("split", _SPLITS)
    def test_every_split_has_examples(self, task: Task, split: Split) -> None:
        """No split is empty."""
        assert sum(_size(batch) for batch in task.batches(split)) > 0

    @pytest.mark.parametrize("split", _SPLITS)
    def test_gives_as_many_as_asked_for(self, task: Task, split: Split) -> None:
        """At most n examples, and n where there are as many."""
        there = sum(_size(batch) for batch in task.batches(split))
        for n in (1, 3):
            assert sum(_size(batch) for batch in task.batches(split, n)) == min(n, there)

    @pytest.mark.parametrize("split", _SPLITS)
    def test_same_seed_same_batches(self, task: Task, split: Split) -> None:
        """Scores must be repeatable."""
        first, second = (list(task.batches(split, 8, seed=4)) for _ in range(2))
        assert all(_equal(a, b) for a, b in zip(first, second, strict=True))

    def test_augmentation_is_seeded_and_leaves_the_originals(self, task: Task) -> None:
        """Training can be repeated, and what augmentation changes are copies, which the model still takes."""
        inputs, before = example(task, 4), example(task, 4)
        one, same = (task.augment(inputs, torch.Generator().manual_seed(5)) for _ in range(2))
        assert _equal(one, same)
        assert _equal(inputs, before)
        model = task.model().eval()
        with torch.no_grad():
            outputs = [call(model, images) for images in (inputs, one)]
        assert _shapes(outputs[0]) == _shapes(outputs[1])

    def test_the_seed_does_not_move_search_and_test(self, task: Task) -> None:
        """Policies are compared on the same examples."""
        for split in _SPLITS[1:]:
            one, other = (list(task.batches(split, 8, seed=seed)) for seed in (0, 1))
            assert all(_equal(a, b) for a, b in zip(one, other, strict=True))

    def test_splits_share_no_example(self, task: Task) -> None:
        """What scores a policy was not trained on, and the test set is apart from both."""
        seen = {split: _fingerprints(task, split) for split in _SPLITS}
        assert not seen["test"] & (seen["train"] | seen["search"])

    def test_model_is_a_fresh_float32_copy_that_gives_the_same(self, task: Task) -> None:
        """Changing one copy leaves the next alone."""
        one, other = task.model().eval(), task.model().eval()
        assert all(parameter.dtype == torch.float32 for parameter in one.parameters())
        inputs = example(task, 2)
        with torch.no_grad():
            expected = call(one, inputs)
            next(one.parameters()).zero_()
            assert _equal(call(other, inputs), expected)

    def test_score_and_loss_are_finite(self, task: Task) -> None:
        """They take what the model returns."""
        inputs, targets = next(iter(task.batches("search", 8)))
        with torch.no_grad():
            outputs = call(task.model().eval(), inputs)
            assert math.isfinite(task.score(outputs, targets))
            loss = task.loss(outputs, targets)
        assert loss.ndim == 0
        assert math.isfinite(loss.item())


def _size(batch: Batch) -> int:
    return len(pytree.tree_leaves(batch[0])[0])


def _equal(one: object, other: object) -> bool:
    pairs = zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True)
    return all(torch.equal(a, b) if torch.is_tensor(a) else a == b for a, b in pairs)


def _shapes(outputs: object) -> list[object]:
    return [getattr(leaf, "shape", None) for leaf in pytree.tree_leaves(outputs)]


def _fingerprints(task: Task, split: Split) -> set[bytes]:
    """Returns one fingerprint for each example's inputs."""
    found = set()
    for inputs, _ in task.batches(split):
        leaves = [leaf.flatten(1).double() for leaf in pytree.tree_leaves(inputs)]
        found |= {row.numpy().tobytes() for row in torch.cat(leaves, 1)}
    return found
