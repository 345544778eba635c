"""Fine-tuning on Ray: finalists are trained side by side, and what falls behind is stopped (Ray Tune, ASHA)."""

from __future__ import annotations

import errno
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from automc.campaigns.workers.cluster import Connection  # before Ray, which reads what it sets

# isort: split
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.error import TuneError
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from automc import progress
from automc.campaigns.config import Compute, SearchConfig
from automc.campaigns.retraining import Entry
from automc.campaigns.trials import Ledger, Orders, trial
from automc.campaigns.workers import Work
from automc.campaigns.workers.shared import Shared
from automc.errors import ClusterLost, ConfigError, TaskError, one_line
from automc.search_spaces import Policy
from automc.tasks.training import WARM_UP

_DEATHS = 3  # workers that one training may take with it and still go on
_HALVING = 2  # the better half of those that came so far goes on: finalists are few
_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one shows banners and failures at every verbosity
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
    "TUNE_STATE_REFRESH_PERIOD": "86400",  # a look at the cluster's resources would not return if its head is gone
}


def train_side_by_side(
    entries: Sequence[Entry], work: Work, config: SearchConfig, higher_is_better: bool, file: Path
) -> dict[Policy, str]:
    """Trains finalists on Ray until each has ended or was stopped, each in the checkpoint that it is to be noted in.

    A training on Ray is the one that this process would run, and its checkpoint is the same. After each epoch the
    network is scored on search images, and by these scores those behind are stopped (ASHA, Li et al., 2020); none
    while the rate still rises. Which are stopped depends on who comes first; the first that is best is never.

    What is killed goes on from its last epoch: a worker's training at once, on another worker; all of them, where this
    process or the cluster was, when this is called again. Tune's own notes have no part in that, since they lag by
    ten seconds and forget what ASHA knew: they go when this returns, and nobody reads their pickles.

    Args:
        entries: the finalists.
        work: what workers need.
        config: says how they are trained and by how many workers.
        higher_is_better: the direction of the score.
        file: where it is noted which trainings have ended, for the next call; all machines must see its folder.

    Returns:
        Why a policy's training did not come to its end, a sentence each; its checkpoint is of no use.

    Raises:
        TaskError: a training failed in the task's own code.
        ConfigError: there is no such cluster, or one of its machines does not see the folder.
        ClusterLost: the cluster went meanwhile.
        OSError, MemoryError: a worker's machine is out of disk space or memory.
    """
    settings = config.finetune
    ledger = Ledger(file, settings, config.seed)
    waiting = [replace(entry, checkpoint=entry.checkpoint.resolve()) for entry in entries if not ledger.ended(entry)]
    lost: dict[Policy, str] = {}
    if waiting:
        ledger.write()
        with Connection(config.compute) as cluster, progress.bar("Fine-tuning", len(waiting) * settings.epochs) as line:
            watch = _Watch(waiting, ledger, settings.epochs, line, cluster)
            orders = Orders(Shared(work), waiting, settings, config.seed, file.resolve(), ledger.token)
            lost = _fit(orders, watch, config.compute, higher_is_better)
    return ledger.stopped(entries) | lost


def _fit(orders: Orders, watch: _Watch, compute: Compute, higher_is_better: bool) -> dict[Policy, str]:
    """Runs all trainings; returns whose workers died too often."""
    epochs, entries = orders.settings.epochs, orders.entries
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric="score",
        mode="max" if higher_is_better else "min",
        max_t=epochs,
        grace_period=1 if orders.settings.minutes else math.ceil(WARM_UP * epochs),
        reduction_factor=_HALVING,
    )
    resources = {"cpu": compute.cpus, "gpu": compute.gpus}
    with _quiet(), tempfile.TemporaryDirectory(prefix="automc-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(partial(trial, orders=orders, threads=compute.cpus), resources),
            param_space={"number": tune.grid_search(list(range(len(entries))))},
            tune_config=tune.TuneConfig(scheduler=scheduler, max_concurrent_trials=compute.workers),
            run_config=tune.RunConfig(
                name=f"finetuning-{uuid4().hex[:8]}",
                storage_path=folder,
                failure_config=tune.FailureConfig(max_failures=_DEATHS),
                callbacks=[watch],
                verbose=0,
            ),
        )
        try:
            results = tuner.fit()
        except (TuneError, _GivenUp):
            if watch.problem is None:
                raise
            raise watch.problem from None
    lost = {}
    for number, entry in enumerate(entries):
        result = results[number]
        if isinstance(result.error, RayTaskError):  # before the task's code was reached
            raise TaskError(f"{entry.description} failed on a worker: {one_line(result.error.cause)}")
        if result.error is not None:
            lost[entry.policy] = f"{entry.name} was not fine-tuned: {1 + _DEATHS} workers died while they trained it"
            progress.say(f"{entry.description}: given up, {1 + _DEATHS} workers died of it")
    return lost


class _GivenUp(BaseException):
    """Ends Tune at once: it would tidy up after an `Exception`, and wait for a cluster that is gone."""


class _Watch(tune.Callback):
    """Shows how far trainings are, and notes which have ended.

    Attributes:
        problem: what a training failed of; None where none did.
    """

    def __init__(
        self, entries: Sequence[Entry], ledger: Ledger, epochs: int, line: progress.Bar, cluster: Connection
    ) -> None:
        self._cluster = cluster
        self._entries, self._ledger, self._epochs, self._line = entries, ledger, epochs, line
        self._done = [0.0] * len(entries)
        self.problem: Exception | None = None

    def __getstate__(self) -> dict[str, object]:
        return {}  # Tune writes its callbacks down; a line on the screen is none of it

    def on_step_begin(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Sees whether the cluster is still there; Tune would wait for it."""
        try:
            self._cluster.check()
        except ClusterLost as error:
            self.problem = error
            raise _GivenUp from None

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Looks at one epoch's score; what is raised here ends all trainings."""
        if "problem" in result:
            self.problem = _error(result["problem"], result["kind"])
            raise self.problem
        number, epoch = trial.config["number"], result["epoch"]
        entry, finished = self._entries[number], result["ended"] or epoch >= self._epochs
        if finished or result.get("done"):
            self._ledger.note(entry, epoch, stopped=not finished)
            if not finished:
                progress.say(f"{entry.description}: stopped after epoch {epoch:.0f}, behind the others")
            epoch = self._epochs
        self._done[number] = epoch
        ended = sum(one == self._epochs for one in self._done)
        self._line.show(f"Fine-tuning {len(self._done)} side by side, {ended} ended", round(sum(self._done)))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Says that a worker died."""
        entry = self._entries[trial.config["number"]]
        progress.say(f"{entry.description}: its worker died; it goes on from its last epoch")


def _error(problem: str, kind: str) -> Exception:
    """Returns what a worker ran into as this process would have."""
    if kind == "folder":
        return ConfigError(problem)
    if kind == "memory":
        return MemoryError(problem)
    if kind == "disk space":
        return OSError(errno.ENOSPC, problem)
    return TaskError(problem)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Tune's tables, banners and files away; what there is to say, `_Watch` says."""
    os.environ |= _SETTINGS
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
