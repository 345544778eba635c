"""The contract of workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from automc.evaluation import Evaluator
from automc.search_spaces import Policy


@dataclass(frozen=True)
class Job:
    """A policy to evaluate.

    Attributes:
        agent: who proposed it.
        number: which proposal of that agent, from 0. The two together name the job.
        policy: the policy.
    """

    agent: str
    number: int
    policy: Policy


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        score: what the policy is worth; None where its evaluation failed or its worker died.
        seconds: how long it took.
        worker: who did it: host and process.
        versions: of what the score depends on, where it was computed.
        change: of its outputs, see `automc.evaluation.change`; None where there is no score.
        spread: standard error of the score; None where there is no score.
        error: why it failed, in one line.
        died: whether the worker's process ended meanwhile. That says nothing yet: the job may be submitted again.
        blameless: of a worker that died, whether it was not by what it evaluated: its whole machine went.
    """

    job: Job
    score: float | None
    seconds: float
    worker: str
    versions: Mapping[str, str] = field(default_factory=dict)
    change: float | None = None
    spread: float | None = None
    error: str | None = None
    died: bool = False
    blameless: bool = False


@dataclass(frozen=True)
class Work:
    """What workers need to evaluate policies.

    Attributes:
        task: name of the task, or ``path.py:Class``.
        task_args: its arguments.
        folder: where relative paths of the two start.
        evaluator: the driver's own evaluator; its model, graph, settings and seed are those of all workers.
    """

    task: str
    task_args: Mapping[str, object]
    folder: str
    evaluator: Evaluator
    seed: int = 0


class Workers(ABC):
    """Evaluates policies, several at a time.

    Every job that was submitted comes out of `wait` exactly once. A worker that dies is replaced; its job comes out as
    ``died`` and is submitted again, or not, by whoever submitted it. Workers know nothing of agents' learning and
    of journals. `automc.testing.WorkersSuite` checks all of this.

    Attributes:
        size: how many jobs run at once; more may be submitted, and wait.
        local: whether jobs run in this very process, which a job may take with it.
    """

    size: int
    local: bool = False

    @property
    def room(self) -> int:
        """How many jobs are worth having under way: with some in reserve, no worker waits for its next one."""
        return self.size if self.local else 2 * self.size

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Takes one more job."""

    @abstractmethod
    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Returns what has ended, once something has; nothing where no job is under way or the time is over.

        Args:
            seconds: how long to wait at most; None for as long as it takes. One process cannot stop within a job.

        Raises:
            AutoMCError: the workers are gone and cannot be replaced.
            Exception: the machine is out of memory or disk space, which says nothing about the policy.
        """

    def close(self) -> None:  # noqa: B027 - some have nothing to let go
        """Lets everything go; jobs under way are given up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
