"""How far a campaign's evaluations have come, kept up as they come in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from automc.campaigns.front import Front
from automc.campaigns.journal import Journal
from automc.campaigns.result import Evaluated

RECENT = timedelta(minutes=5)
"""What counts as recent: evaluations a minute are counted over it, and workers are those that had one within it."""

_FAILURES = 3  # of which the reasons are kept


@dataclass
class Standing:
    """Figures of the finished evaluations of one campaign; each row is read once, and little of it is kept.

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
    _seen: dict[str, set[int]] = field(default_factory=dict)

    def read(self, journal: Journal) -> None:
        """Takes what has ended since the last time."""
        news: list[tuple[datetime, str]] = []
        for agent in journal.agents():
            for when, done in journal.news(agent, seen := self._seen.setdefault(agent, set())):
                seen.add(done.number)
                news.append((when, done.worker))
                self._add(done)
        if news:
            every = sorted(self.recent + news)
            self.recent = [one for one in every if one[0] >= every[-1][0] - RECENT]

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

    def _add(self, done: Evaluated) -> None:
        self.counts[done.agent] += 1
        if done.score is None:
            why = f"number {done.number} of {done.agent}: {done.error}"
            self.failures = [*self.failures, why][-_FAILURES:]
        self.front.add(done)
