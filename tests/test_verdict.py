"""The verdict says plainly what a search brought, and nothing more."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from automc.campaigns.reports.verdict import int8_claims, verdict
from automc.campaigns.result import Int8, Row, Tuned
from automc.costs import Cost
from automc.devices import Timing
from automc.tasks import Batch, Split, Task
from tests.networks import device


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


def tuned(one: Row, search: float, test: float, epochs: float = 10) -> Row:
    after = Tuned(epochs=epochs, seconds=60, search_score=search, test_score=test)
    return one.model_copy(update={"tuned": after})


def test_what_only_the_agent_was_tuned_for_is_no_merit_of_the_search() -> None:
    best = tuned(row("best", 0.86, 0.84, "tpe"), 0.93, 0.92)
    text, brought = said(best)
    assert not brought
    assert "with a test top-1 of 92.00%" in text
    assert "Before fine-tuning (10 epochs) it was 84.00%." in text
    assert "the control random (84.00% on the test set before fine-tuning), on the test set it is not" in text
    text, brought = said(tuned(row("best", 0.90, 0.89, "tpe"), 0.93, 0.92, epochs=1))
    assert "Before fine-tuning (1 epoch) it was" in text
    assert brought
    assert "brought 5.00 points on the test set over the control random (84.00% on the test set before fine" in text


def test_tuned_controls_are_compared_with_the_tuned_best() -> None:
    best = tuned(row("best", 0.90, 0.89, "tpe"), 0.93, 0.92)
    uniform, random = tuned(UNIFORM, 0.94, 0.91), tuned(RANDOM, 0.90, 0.90)
    text, brought = verdict([ORIGINAL, uniform, random, best], "tpe", Counted(10_000), tuned_alike=True)
    assert not brought
    assert "the control uniform (91.00% on the test set) scores as well" in text
    rows = [ORIGINAL, tuned(UNIFORM, 0.92, 0.90), random, best]
    text, brought = verdict(rows, "tpe", Counted(10_000), tuned_alike=True)
    assert brought
    assert "brought 2.00 points on the test set over the control uniform (90.00% on the test set)." in text
    # one that training made worse is as it was, and still the one to beat
    rows = [ORIGINAL, uniform, row("random", 0.95, 0.95), best]
    text, brought = verdict(rows, "tpe", Counted(10_000), tuned_alike=True)
    assert not brought
    assert "the control random (95.00% on the test set) scores as well" in text


def test_without_a_control_within_the_budget_that_is_said() -> None:
    over, best = row("int8", 0.99, 0.99, keeps=False), row("best", 0.90, 0.89, "tpe")
    text, brought = verdict([ORIGINAL, over, best], "tpe", Counted(100))
    assert brought
    assert "No control was measured within the budget" in text
    text, brought = verdict([ORIGINAL, best], "tpe", Counted(100))
    assert not brought
    assert "No control has a result" in text


def test_any_number_of_controls_may_be_the_one_to_beat() -> None:
    more = [row("int8", 0.99, 0.98, keeps=False), UNIFORM, row("uniform+int8", 0.88, 0.87), RANDOM]
    text, _ = verdict([ORIGINAL, *more, row("best", 0.90, 0.89, "tpe")], "tpe", Counted(10_000))
    assert "brought 2.00 points on the test set over the control uniform+int8" in text


def in_int8(one: Row, asked: list[str], run: list[str]) -> Row:
    return one.model_copy(update={"int8": Int8(layers=3, asked=asked, run=run)})


def test_claims_say_what_int8_is_only_where_it_is_used() -> None:
    best = row("best", 0.90, 0.89, "tpe")
    floats = [in_int8(ORIGINAL, [], []), UNIFORM, in_int8(best, [], [])]
    assert int8_claims(floats, device()) == []
    text = " ".join(
        int8_claims([*floats[:2], in_int8(best, ["a", "b"], ["a"])], device(instructions=("avx2", "avx_vnni")))
    )
    assert "by its own optimized graph: best 1 of 3." in text
    assert "In best the file has quantizers around b too" in text
    assert "unsigned 8-bit, one scale a tensor" in text
    assert "fake_quantize" in text
    assert "processor's avx_vnni without saturating" in text
    assert "recipe verify" not in text


def test_a_processor_whose_sums_may_saturate_is_named() -> None:
    text = " ".join(int8_claims([in_int8(UNIFORM, ["a"], ["a"]), RANDOM], device(instructions=("avx2",))))
    assert "can saturate" in text
    assert "`automc recipe verify` checks them anew" in text
    assert "fake_quantize" not in text  # it is the best's file
