"""How far a campaign's evaluations have come, kept up as they come in."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from automc.campaigns.evaluated import Evaluated
from automc.campaigns.front import Front

RECENT = timedelta(minutes=5)
"""What counts as recent: evaluations a minute are counted over it, and workers are those that had one within it."""

_FAILURES = 3  # of which the reasons are kept


@dataclass
class Standing:
    """Figures of the finished evaluations of one campaign; little of each is kept.

    Attributes:
        counts: finished evaluations of each agent, those that failed too.
        failures: reasons of the last that did.
        front: what no other evaluation beats in both score and what the first budget bounds.
        recent: when evaluations ended and who had them, the oldest first, of the last minutes before the last.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    front: Front = field(default_factory=Front)
    recent: list[tuple[datetime, str]] = field(default_factory=list)
    _newest: datetime | None = None

    def take(self, when: datetime, done: Evaluated) -> None:
        """Takes an evaluation that has ended at that time; each once."""
        self.counts[done.agent] += 1
        if done.score is None:
            why = f"number {done.number} of {done.agent}: {done.error}"
            self.failures = [*self.failures, why][-_FAILURES:]
        self.front.add(done)
        self._newest = max(self._newest or when, when)
        insort(self.recent, (when, done.worker))
        del self.recent[: bisect_left(self.recent, (self._newest - RECENT, ""))]

    def rate(self, since: datetime, now: datetime) -> float | None:
        """Returns evaluations a minute over the last minutes; None where nothing has ended in them.

        Args:
            since: when the driver began; what was before is not counted.
            now: the time, as `since` without a zone.
        """
        begin = max(since, now - RECENT)
        count = sum(when >= begin for when, _ in self.recent)
        seconds = (now - begin).total_seconds()
        return 60 * count / seconds if count and seconds > 0 else None

    def workers(self, now: datetime) -> dict[str, int]:
        """Returns who evaluated in the last minutes, and how much."""
        return dict(Counter(worker for when, worker in self.recent if worker and when >= now - RECENT))
