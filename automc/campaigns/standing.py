"""How far a campaign's evaluations have come, kept up as they come in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from automc.campaigns.journal import Journal
from automc.campaigns.result import Evaluated
from automc.costs import Cost

RECENT = timedelta(minutes=5)
"""What counts as recent: evaluations a minute are counted over it, and workers are those that had one within it."""

_FAILURES = 3  # of which the reasons are kept


@dataclass(frozen=True)
class Point:
    """An evaluation that is best, or on the front.

    Attributes:
        score: on search images.
        cost: what the first budget bounds, predicted, in its own unit.
        agent: who proposed it.
        number: which evaluation of that agent.
        predicted: all its costs.
    """

    score: float
    cost: float
    agent: str
    number: int
    predicted: Cost


@dataclass
class Standing:
    """Figures of the finished evaluations of one campaign; each row is read once, and little of it is kept.

    Attributes:
        metric: what the first budget bounds.
        higher_is_better: the direction of scores.
        counts: finished evaluations of each agent, those that failed too.
        failures: reasons of the last that did.
        best: the best score, of equal ones the cheapest.
        front: what no other evaluation beats in both score and cost, best score first.
        recent: when evaluations ended and who had them, the oldest first, of the last minutes before the last.
    """

    metric: str = "macs"
    higher_is_better: bool = True
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    best: Point | None = None
    front: list[Point] = field(default_factory=list)
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
            return
        cost = getattr(done.predicted, self.metric)
        cost = done.predicted.macs if cost is None else cost
        point = Point(done.score, cost, done.agent, done.number, done.predicted)
        if self.best is None or self._key(point) < self._key(self.best):
            self.best = point
        if not any(self._covers(other, point) for other in self.front):
            kept = [other for other in self.front if not self._covers(point, other)]
            self.front = sorted([*kept, point], key=self._key)

    def _key(self, point: Point) -> tuple[float, float]:
        return -point.score if self.higher_is_better else point.score, point.cost

    def _covers(self, one: Point, other: Point) -> bool:
        (a, b), (c, d) = self._key(one), self._key(other)
        return a <= c and b <= d
