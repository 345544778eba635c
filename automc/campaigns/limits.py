"""What ends a search before it had all its evaluations."""

from __future__ import annotations

import time

from automc.campaigns.config import Limits
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.front import Front


class Watch:
    """Says when a search has cost enough, or finds nothing new any more.

    Args:
        limits: what was asked for.
        agent: who was asked for; the front that must move is its own.
        front: an empty one.
        seconds: that earlier sessions searched.
        worker_seconds: that were spent on something else than evaluations.
    """

    def __init__(
        self, limits: Limits, agent: str, front: Front, seconds: float = 0.0, worker_seconds: float = 0.0
    ) -> None:
        self._limits, self._agent, self._front = limits, agent, front
        self._began = time.monotonic() - seconds
        self._worker_seconds = worker_seconds
        self._what = "evaluations and sensitivities" if worker_seconds else "evaluations"
        self._still = 0

    def add(self, done: Evaluated) -> None:
        """Takes one more evaluation that has ended."""
        self._worker_seconds += done.seconds
        if done.agent == self._agent:
            self._still = 0 if self._front.add(done) else self._still + 1

    def reached(self) -> str | None:
        """Returns which limit was reached, in words; None where none was."""
        limits = self._limits
        if limits.minutes is not None and time.monotonic() - self._began >= 60 * limits.minutes:
            return f"limits.minutes: {limits.minutes:g} minutes are over"
        if limits.worker_hours is not None and self._worker_seconds >= 3600 * limits.worker_hours:
            return f"limits.worker_hours: {self._what} took {limits.worker_hours:g} hours"
        if limits.patience is not None and self._still >= limits.patience:
            return f"limits.patience: the front has not moved for {limits.patience} evaluations"
        return None
