"""What the report says of rungs: which one chose, how their scores agree, and whether the choice may be chance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise

from scipy import stats

from automc.campaigns.evaluated import Evaluated
from automc.evaluation import Fidelity
from automc.evaluation.paired import RESAMPLES
from automc.search_spaces import Policy

_FEWEST = 3  # policies that a rank correlation is told of
_CERTAIN = 0.975  # two-sided, at 95%


def rung_claims(evaluations: Sequence[Evaluated], fidelities: Sequence[Fidelity]) -> list[str]:
    """Returns how many policies each rung saw, which chose the finalists, and how each agrees with the one below.

    Args:
        evaluations: of all agents.
        fidelities: of all rungs; nothing is said where there is only one.
    """
    if len(fidelities) == 1:
        return []
    scores = [_scores(evaluations, rung) for rung in range(len(fidelities))]
    told = ", ".join(f"{len(found)} at rung {rung} ({fidelities[rung]})" for rung, found in enumerate(scores))
    last = len(fidelities) - 1
    lines = [
        f"Rungs, and distinct policies that they scored: {told}. Each agent's best were promoted, as many of each; "
        f"rung {last} chose the finalists, which are built as it builds them."
    ]
    found = [(at, _spearman(below, above)) for at, (below, above) in enumerate(pairwise(scores))]
    if said := [f"rung {at} with rung {at + 1} {text}" for at, text in found if text]:
        lines.append(
            f"Rank correlation (Spearman) of scores among those promoted: {', '.join(said)}. They are the best of the "
            "rung below, so it is lower than it would be for all."
        )
    return lines


def chance_claim(first: str, second: str, share: float) -> str:
    """Says whether the best finalist is ahead of the next by more than chance.

    Args:
        first: who is best.
        second: who is next.
        share: of resamples in which the first scores better.
    """
    said = "more than chance" if share >= _CERTAIN else "which may be chance"
    return (
        f"On search images the best finalist ({first}) is ahead of the next ({second}) in {100 * share:.0f}% of "
        f"{RESAMPLES} resamples of the same images (paired bootstrap): {said}."
    )


def _scores(evaluations: Sequence[Evaluated], rung: int) -> dict[Policy, float]:
    own = (done for done in evaluations if done.rung == rung and done.score is not None and not done.extra)
    return {done.policy: done.value for done in own}


def _spearman(below: Mapping[Policy, float], above: Mapping[Policy, float]) -> str | None:
    both = [policy for policy in above if policy in below]
    if len(both) < _FEWEST:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)  # equal scores have no order: it is NaN then
        value = stats.spearmanr([below[one] for one in both], [above[one] for one in both]).statistic
    return f"{value:.2f} ({len(both)} policies)" if value == value else None
