"""Workers on a Ray cluster: an actor each."""

from __future__ import annotations

from automc.campaigns.config import Compute
from automc.campaigns.workers._base import Job, Outcome, Work, Workers


class RayWorkers(Workers):
    """Evaluates in actors."""

    def __init__(self, compute: Compute, work: Work) -> None:
        raise NotImplementedError

    def submit(self, job: Job) -> None:
        """Takes one more job."""
        raise NotImplementedError

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Returns what has ended."""
        raise NotImplementedError
