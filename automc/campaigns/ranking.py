"""Which evaluation of several is the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from automc.campaigns.evaluated import Evaluated
from automc.search_spaces import Policy


def ranked(evaluations: Iterable[Evaluated], merit: Callable[[float], float]) -> list[Evaluated]:
    """Returns the distinct policies of evaluations, best first, without those that failed or were added later.

    Of two, that at the higher rung is better. Those at one rung whose scores are within one standard error of the
    best are told apart by how little they changed outputs, which says more than what is left of their scores
    (docs/agents.md); the others by their scores; what is alike in that, by cost. Each is here with its
    evaluation at the highest rung that it reached.

    Args:
        evaluations: of one agent.
        merit: of a score; more is better.
    """
    own = [done for done in evaluations if done.score is not None and not done.extra]
    least: dict[int, float] = {}
    for best in sorted(own, key=lambda done: merit(done.value)):
        least[best.rung] = merit(best.value) - (best.spread or 0.0)

    def key(done: Evaluated) -> tuple[float, ...]:
        close = done.change is not None and merit(done.value) >= least[done.rung]
        apart = (0.0, done.change or 0.0) if close else (1.0, 0.0)
        return -done.rung, *apart, -merit(done.value), done.predicted.latency or done.predicted.macs, done.number

    found: dict[Policy, Evaluated] = {}
    for done in sorted(own, key=key):
        found.setdefault(done.policy, done)
    return list(found.values())
