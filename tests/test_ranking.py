"""Which evaluation is the best."""

from typing import Any

import pytest

from automc.campaigns.evaluated import Evaluated
from automc.campaigns.ranking import ranked
from automc.costs import Cost
from automc.search_spaces import Choice, Policy


def evaluated(number: int, score: float | None, change: float | None = None, **more: Any) -> Evaluated:
    values: dict[str, Any] = {"agent": "tpe", "seconds": 1.0, "spread": 0.01, "predicted": Cost(100, 2, 3)}
    values |= {"policy": Policy({"unit": Choice(channels=number + 1)}), **more}
    return Evaluated(number=number, score=score, change=change, **values)


def order(*evaluations: Evaluated, sign: float = 1) -> list[int]:
    return [one.number for one in ranked(evaluations, lambda score: sign * score)]


def test_scores_decide_where_they_are_further_apart_than_chance() -> None:
    assert order(evaluated(0, 0.90, 0.1), evaluated(1, 0.95, 0.3), evaluated(2, 0.92, 0.2)) == [1, 2, 0]


def test_of_scores_within_one_standard_error_of_the_best_the_least_change_is_first() -> None:
    assert order(evaluated(0, 0.950, 0.3), evaluated(1, 0.945, 0.1), evaluated(2, 0.941, 0.2)) == [1, 2, 0]
    assert order(evaluated(0, 0.950, 0.3), evaluated(1, 0.939, 0.1)) == [0, 1]


def test_a_lower_score_may_be_the_better_one() -> None:
    assert order(evaluated(0, 0.30, 0.1), evaluated(1, 0.20, 0.2), evaluated(2, 0.205, 0.1), sign=-1) == [2, 1, 0]


def test_without_changes_scores_decide_and_then_costs() -> None:
    dear, cheap = (evaluated(number, 0.9, predicted=Cost(macs, 2, 3)) for number, macs in ((0, 200), (1, 100)))
    assert order(dear, cheap, evaluated(2, 0.905)) == [2, 1, 0]


def test_a_higher_rung_comes_first_and_has_a_best_of_its_own() -> None:
    low, high = evaluated(0, 0.99, 0.01), evaluated(1, 0.80, 0.5, rung=1)
    assert order(low, high) == [1, 0]
    again = evaluated(7, 0.70, 0.6, rung=1, policy=low.policy)
    assert order(low, high, again) == [1, 7]


@pytest.mark.parametrize("no_result", [evaluated(1, None, error="x"), evaluated(1, 0.99, 0.0, extra=True)])
def test_what_failed_or_was_added_later_is_no_result(no_result: Evaluated) -> None:
    assert order(evaluated(0, 0.5, 0.5), no_result) == [0]
