"""The verdict says plainly what a search brought, and nothing more."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from automc.campaigns.result import Row
from automc.campaigns.verdict import verdict
from automc.costs import Cost
from automc.latency_tables import Timing
from automc.tasks import Batch, Split, Task


class Counted(Task):
    """A task of which only the number of test examples and the metric count."""

    def __init__(self, examples: int) -> None:
        self.examples = examples

    def model(self) -> nn.Module:
        return nn.Identity()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        yield torch.zeros(self.examples, 1), torch.zeros(self.examples)


def row(name: str, search: float, test: float, agent: str | None = None, keeps: bool = True, ratio: float = 0.5) -> Row:
    return Row(
        name=name,
        agent=agent or name,
        policy={name: {"channels": 1}},
        predicted=Cost(1, 1, 1, 1),
        measured=Timing(100 * ratio, 1, 1, ratio, ratio, ratio, 10),
        file_size=1,
        search_score=search,
        test_score=test,
        keeps_budget=keeps,
    )


ORIGINAL, UNIFORM, RANDOM = row("original", 0.95, 0.94), row("uniform", 0.80, 0.79), row("random", 0.85, 0.84)


def said(best: Row, examples: int = 10_000, random: Row = RANDOM) -> tuple[str, bool]:
    return verdict([ORIGINAL, UNIFORM, random, best], "tpe", Counted(examples))


def test_a_clear_lead_on_search_and_test_is_a_gain() -> None:
    text, brought = said(row("best", 0.90, 0.89, "tpe"))
    assert brought
    assert "50.0% of the original's measured latency (2.00x faster)" in text
    assert "brought 5.00 points on the test set over the control random (84.00% on the test set)" in text


@pytest.mark.parametrize(("examples", "gain"), [(100, False), (360, False), (10_000, True)])
def test_a_lead_that_may_be_chance_is_none(examples: int, gain: bool) -> None:
    text, brought = said(row("best", 0.90, 0.86, "tpe"), examples)
    assert brought == gain
    assert (f"on {examples} test examples may be chance" in text) != gain


@pytest.mark.parametrize(
    ("best", "words"),
    [
        (row("best", 0.90, 0.84, "tpe"), "on the test set it is not"),
        (row("best", 0.85, 0.90, "tpe"), "brought nothing that a control did not"),
        (row("best", 0.85, 0.84, "random"), "found as good a policy"),
        (row("best", 0.90, 0.90, "tpe", keeps=False), "No policy was measured within the latency budget"),
    ],
)
def test_everything_else_is_said_to_be_nothing(best: Row, words: str) -> None:
    text, brought = said(best)
    assert not brought
    assert words in text


def test_a_control_over_the_budget_is_not_the_one_to_beat() -> None:
    text, _ = said(row("best", 0.90, 0.89, "tpe"), random=row("random", 0.99, 0.99, keeps=False))
    assert "over the control uniform" in text


def test_a_network_that_became_slower_is_not_called_faster() -> None:
    text, _ = said(row("best", 0.90, 0.89, "tpe", ratio=1.25))
    assert "125.0% of the original's measured latency (1.25x slower)" in text
