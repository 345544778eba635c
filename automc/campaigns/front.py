"""The front: what no other evaluation beats in score and in what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from automc.campaigns.evaluated import Evaluated
from automc.costs import Cost


@dataclass(frozen=True)
class Point:
    """An evaluation that is best, or on the front.

    Attributes:
        score: on search images.
        cost: of the front's first metric, predicted, in its own unit.
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
class Front:
    """The front of some evaluations.

    Attributes:
        metric: what is the cost; MACs stand for it where it is not known.
        more: further metrics that count, where an agent makes several small.
        higher_is_better: the direction of scores.
        limits: what costs may be, by metric: controls that are over the budgets are not on the front.
        points: what is on the front, best score first.
        rung: of what is on the front: scores of two rungs cannot be compared, and the highest counts.
    """

    metric: str = "macs"
    higher_is_better: bool = True
    limits: dict[str, float] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    more: tuple[str, ...] = ()
    rung: int = 0

    def add(self, done: Evaluated) -> bool:
        """Takes one more evaluation; says whether the front has moved."""
        if done.score is None or self.over(done.predicted) or done.rung < self.rung:
            return False
        if done.rung > self.rung:
            self.points, self.rung = [], done.rung
        cost = getattr(done.predicted, self.metric)
        point = Point(
            done.score, done.predicted.macs if cost is None else cost, done.agent, done.number, done.predicted
        )
        if any(self._covers(other, point) for other in self.points):
            return False
        kept = [other for other in self.points if not self._covers(point, other)]
        self.points = sorted([*kept, point], key=self._key)
        return True

    @property
    def best(self) -> Point | None:
        """The one with the best score, of equal ones the cheapest."""
        return self.points[0] if self.points else None

    def over(self, costs: Cost) -> bool:
        """Says whether costs are over any limit, as far as they are known."""
        known = {metric: getattr(costs, metric) for metric in self.limits}
        return any(cost is not None and cost > self.limits[metric] for metric, cost in known.items())

    def _key(self, point: Point) -> tuple[float, ...]:
        more = (getattr(point.predicted, metric) or 0.0 for metric in self.more)
        return -point.score if self.higher_is_better else point.score, point.cost, *more

    def _covers(self, one: Point, other: Point) -> bool:
        return all(a <= b for a, b in zip(self._key(one), self._key(other), strict=True))
