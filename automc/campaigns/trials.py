"""One fine-tuning on a Ray worker, and what is noted of all of them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from ray import tune
from torch import nn

from automc import files
from automc.campaigns.config import FineTune
from automc.campaigns.retraining import Entry, Retraining
from automc.campaigns.workers.local import worker_name
from automc.campaigns.workers.shared import Shared
from automc.errors import lacking, one_line
from automc.search_spaces import Policy
from automc.tasks.training import Trained


class Ledger:
    """Which trainings have ended, and which of them were stopped: a small file beside their checkpoints.

    Args:
        file: the file. What it has of trainings with other settings is passed by.
        settings: how finalists are trained.
        seed: seeds everything random.

    Attributes:
        token: what the file says to whoever has to see this very file.
    """

    def __init__(self, file: Path, settings: FineTune, seed: int) -> None:
        self._file, self._epochs, self.token = file, settings.epochs, uuid4().hex
        self._about = settings.model_dump(mode="json") | {"seed": seed}
        self._ended: dict[str, dict[str, Any]] = {}
        try:
            there = json.loads(file.read_text(encoding="utf-8"))
            if there["about"] == self._about:
                self._ended = there["ended"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # there is none, or it is damaged: trainings that have ended say so again

    def ended(self, entry: Entry) -> bool:
        """Says whether a training has come to its end or was stopped."""
        return entry.checkpoint.parent.name in self._ended and entry.checkpoint.exists()

    def note(self, entry: Entry, epoch: float, stopped: bool) -> None:
        """Notes that a training ended after so many epochs."""
        self._ended[entry.checkpoint.parent.name] = {"epoch": epoch, "stopped": stopped}
        self.write()

    def stopped(self, entries: Sequence[Entry]) -> dict[Policy, str]:
        """Returns those of the trainings that were stopped, with a sentence each."""
        stopped = {}
        for entry in entries:
            there = self._ended.get(entry.checkpoint.parent.name, {"stopped": False})
            if there["stopped"]:
                after = f"{there['epoch']:.0f} of {self._epochs}"
                stopped[entry.policy] = f"{entry.name} was stopped after epoch {after}, behind the others"
        return stopped

    def write(self) -> None:
        """Writes the file."""
        files.write_text(self._file, json.dumps({"about": self._about, "ended": self._ended, "token": self.token}))


@dataclass(frozen=True)
class Orders:
    """What every worker is told.

    Attributes:
        shared: makes the evaluator.
        entries: the finalists; a worker is told the number of its own.
        settings: how they are trained.
        seed: seeds everything random.
        file: where the trainings that have ended are noted.
        token: what that file has to say.
    """

    shared: Shared
    entries: Sequence[Entry]
    settings: FineTune
    seed: int
    file: Path
    token: str

    def sees_folder(self) -> bool:
        """Says whether this machine sees the folder that checkpoints are to be in."""
        try:
            return bool(json.loads(self.file.read_text(encoding="utf-8"))["token"] == self.token)
        except (OSError, ValueError, KeyError, TypeError):
            return False


def trial(config: dict[str, Any], orders: Orders, threads: int) -> None:
    """Trains one finalist and tells Tune its score after each epoch, or in one line what went wrong.

    What the task's own code raises would be raised again by another worker, as it would be here: it is told, and
    not raised, so that Tune begins again only what died.
    """
    os.chdir(os.environ.get("TUNE_ORIG_WORKING_DIR", "."))  # Tune has moved to a folder of its own
    torch.set_num_threads(threads)
    if not orders.sees_folder():
        folder = orders.file.parent.parent
        what = (
            f"{folder}: not seen by {platform.node()}, a machine of the cluster; fine-tuning on several machines needs"
        )
        _tell(problem=f"{what} a folder that all of them share: choose one with --out", kind="folder")
        return
    try:
        evaluator = orders.shared.evaluator().last
        training = Retraining(evaluator, orders.entries[config["number"]], orders.settings, orders.seed)

        def after(model: nn.Module, so_far: Trained) -> None:
            _tell(evaluator.score(model), so_far.epochs)

        trained = training.run(after)
        _tell(evaluator.score(training.network), trained.epochs, ended=True)
    except Exception as error:
        lacks = lacking(error)
        where = f"worker {worker_name()}: " if lacks else ""
        _tell(problem=f"{where}{one_line(error)}", kind=lacks or "task")


def _tell(score: float = float("nan"), epoch: float = 0.0, ended: bool = False, **more: str) -> None:
    tune.report({"score": score, "epoch": epoch, "ended": ended, **more})
