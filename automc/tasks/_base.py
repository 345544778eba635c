"""The contract of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from automc.errors import TaskError

Inputs: TypeAlias = "Tensor | dict[str, Tensor]"
Batch: TypeAlias = "tuple[Inputs, Any]"
Split: TypeAlias = Literal["train", "search", "test"]


class Task(ABC):
    """A trained model, its data and how its outputs are scored.

    A task implements two methods, `model` and `batches`. A classifier needs nothing more; any other model
    also overrides `score` and `loss`. Training, evaluation and calibration loops are AutoMC's.

    Attributes:
        metric: name of what `score` returns.
        higher_is_better: whether a larger score is a better one.
        paths: arguments of the constructor that are paths. Where a configuration gives them, a relative one starts
            in its folder, and ``~`` is the user's home.

    Example:
        A file ``my_task.py``, used as ``task: my_task.py:MyTask``::

            class MyTask(Task):
                def model(self):
                    return load_my_trained_network()

                def batches(self, split, n=None, seed=0):
                    images, labels = self.arrays[split]
                    for start in range(0, n or len(images), 128):
                        yield images[start:start + 128], labels[start:start + 128]
    """

    metric: ClassVar[str] = "top-1"
    higher_is_better: ClassVar[bool] = True
    paths: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def model(self) -> nn.Module:
        """Returns the trained network in float32 on the CPU, a fresh copy at each call.

        Its forward pass takes one tensor, or the tensors of a dict as keyword arguments; the first dimension
        of each is the batch.
        """

    @abstractmethod
    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        """Yields (inputs, targets) batches, of any size, until ``n`` examples were given (all when None).

        Args:
            split: ``train`` calibrates and fine-tunes, ``search`` scores policies during a search and is taken
                from the training data too, ``test`` is read once, for the final report.
            n: how many examples, at most.
            seed: orders ``train``, and with it which ``n`` are taken; the other splits have a fixed order.

        Yields:
            Inputs, a tensor or a dict of tensors, and whatever `score` and `loss` take as targets.
        """

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        """Returns training inputs with random changes, such as flips; by default just as they are.

        Training loops call it, and nothing else: never calibration or scoring.

        Args:
            inputs: the inputs of one batch of ``train``; they are not changed themselves.
            generator: where all randomness comes from.
        """
        return inputs

    def score(self, outputs: Any, targets: Any) -> float:
        """Scores all outputs of a split at once; by default top-1 accuracy, in [0, 1].

        Args:
            outputs: what the model returned, concatenated over batches.
            targets: the targets, concatenated likewise.
        """
        if not torch.is_tensor(outputs):
            raise TaskError(
                f"the model returns a {type(outputs).__name__}, the default score takes logits: wrap the model so that "
                "it returns them, or override score and loss"
            )
        return (outputs.argmax(-1) == targets).double().mean().item()

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Returns the training loss of one batch, a scalar; by default cross-entropy."""
        return F.cross_entropy(outputs, targets)

    def distill(self, outputs: Any, teacher_outputs: Any, temperature: float = 4.0) -> Tensor:
        """Returns how far one batch's outputs are from a teacher's, a scalar; a second loss in fine-tuning.

        By default, logits of a classifier (outputs that are one 2-D tensor, of a task that keeps the default `score`
        or `loss`) are compared by the Kullback-Leibler divergence of their softened distributions (Hinton et al.,
        2015), and all other outputs by the mean squared difference of each floating-point tensor.

        Args:
            outputs: what the model that is trained returned.
            teacher_outputs: what the teacher returned for the same inputs.
            temperature: divides logits; the divergence is multiplied by its square, so that gradients keep their size.
        """
        ours, theirs = pytree.tree_leaves(outputs), pytree.tree_leaves(teacher_outputs)
        classifies = type(self).score is Task.score or type(self).loss is Task.loss
        if classifies and torch.is_tensor(outputs) and outputs.ndim == 2:
            student, teacher = (F.log_softmax(logits / temperature, dim=1) for logits in (ours[0], theirs[0]))
            return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        pairs = [pair for pair in zip(ours, theirs, strict=True) if torch.is_tensor(pair[0])]
        return torch.stack([F.mse_loss(*pair) for pair in pairs if pair[0].is_floating_point()]).mean()


def call(model: nn.Module, inputs: Inputs) -> Any:
    """Runs the model on a tensor, or on a dict of tensors as keyword arguments."""
    return model(**inputs) if isinstance(inputs, dict) else model(inputs)


def concatenate(batches: Sequence[Any]) -> Any:
    """Concatenates outputs, inputs or targets (tensors, or nested collections of them) along the batch."""
    leaves, specs = zip(*(pytree.tree_flatten(batch) for batch in batches), strict=True)
    joined = [torch.cat(parts) if torch.is_tensor(parts[0]) else parts[0] for parts in zip(*leaves, strict=True)]
    return pytree.tree_unflatten(joined, specs[0])


def example(task: Task, n: int = 1, split: Split = "train") -> Inputs:
    """Returns the inputs of the first ``n`` examples of a split."""
    return examples(task, n, split)[0]


def examples(task: Task, n: int, split: Split = "train") -> Batch:
    """Returns the first ``n`` examples of a split, inputs and targets, in one batch.

    Raises:
        TaskError: there are none, or their shapes differ.
    """
    given = list(task.batches(split, n))
    shapes = {tuple(leaf.shape[1:] for leaf in pytree.tree_leaves(inputs)) for inputs, _ in given}
    if len(shapes) != 1:
        found = " and ".join(str([list(shape) for shape in each]) for each in sorted(shapes)[:2])
        raise TaskError(
            f"the first {n} examples of '{split}' have shapes {found}; all need the same: pad them, and give a mask"
            if found
            else f"the task's split '{split}' gives no examples"
        )
    both = tuple(concatenate(parts) for parts in zip(*given, strict=True))
    return pytree.tree_map_only(Tensor, lambda tensor: tensor[:n], both)
