"""One finalist's fine-tuning: the same code whoever runs it, this process or a worker on Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from automc.campaigns.config import FineTune
from automc.compression import Compressed
from automc.errors import users_code
from automc.evaluation import Evaluator
from automc.search_spaces import Policy
from automc.tasks.training import Trained, train


@dataclass(frozen=True)
class Entry:
    """A finalist that is to be trained.

    Attributes:
        policy: the policy.
        name: what reports call it: who proposed it, and when.
        checkpoint: where each epoch is noted, and what a training that was interrupted goes on from.
        description: what progress and errors call its training.
    """

    policy: Policy
    name: str
    checkpoint: Path
    description: str


class Retraining:
    """A policy's network, from what the search made of it to what training makes of that.

    Args:
        evaluator: makes and scores the network; its original is the teacher.
        entry: which policy, and where its training is noted.
        settings: how it is trained.
        seed: seeds everything random.
    """

    def __init__(self, evaluator: Evaluator, entry: Entry, settings: FineTune, seed: int) -> None:
        self._evaluator, self._entry, self._settings, self._seed = evaluator, entry, settings, seed
        self._start = evaluator.compressor.prune(entry.policy)
        through = settings.quantized and bool(self._start.bits)
        self._learned = evaluator.compressor.learned(self._start) if through else None

    def run(self, on_epoch: Callable[[nn.Module, Trained], None] | None = None) -> Trained:
        """Trains what of it is not in the checkpoint yet.

        Args:
            on_epoch: see `train`.

        Raises:
            TaskError: the task's own code failed, or what is trained cannot be.
        """
        with users_code(f"{self._entry.description} failed; mend the task, then go on with --resume"):
            return train(
                self.network,
                self._evaluator.task,
                self._settings,
                seed=self._seed,
                description=self._entry.description,
                teacher=self._evaluator.model,
                checkpoint=self._entry.checkpoint,
                bfloat16=self._evaluator.precision == "bfloat16",
                on_epoch=on_epoch,
            )

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""
        return self._start.model if self._learned is None else self._learned

    def result(self) -> Compressed:
        """Returns the network as it is deployed, with quantizers where the policy asks for fewer bits."""
        if self._learned is None:
            return self._evaluator.compressor.quantize(self._start)
        return replace(self._start, model=self._learned.settled())
