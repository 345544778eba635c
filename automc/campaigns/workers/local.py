"""One worker: this process."""

from __future__ import annotations

import os
import platform
import time
from collections import deque

from automc.campaigns.workers._base import Job, Outcome, Workers
from automc.errors import lacking, one_line
from automc.evaluation import Evaluator
from automc.versions import versions


class LocalWorkers(Workers):
    """Evaluates in this process, one job after the other, while somebody waits.

    Args:
        evaluator: scores policies.
    """

    size = 1
    local = True

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Takes one more job."""
        self._jobs.append(job)

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Evaluates the next job; the time cannot be limited."""
        return [evaluated(self._evaluator, self._jobs.popleft())] if self._jobs else []


def evaluated(evaluator: Evaluator, job: Job) -> Outcome:
    """Returns what becomes of a job in this process.

    Raises:
        Exception: the machine is out of memory or disk space; what else goes wrong is the policy's, and in the outcome.
    """
    start, done, problem = time.perf_counter(), None, None
    try:
        done = evaluator.evaluate(job.policy)
    except Exception as error:
        if lacking(error):
            raise
        problem = one_line(error)
    score, change, spread = (None, None, None) if done is None else (done.score, done.change, done.spread)
    seconds = time.perf_counter() - start
    return Outcome(job, score, seconds, worker_name(), versions(), change, spread, error=problem)


def worker_name() -> str:
    """Returns who this process is, for people: host and process."""
    return f"{platform.node()}:{os.getpid()}"
