from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automc.costs import Budget
from automc.costs.units import format_cost
from automc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "metric", "value", "relative"),
    [
        ("latency<=60%", "latency", 0.6, True),
        (" macs <= 50 % ", "macs", 0.5, True),
        ("size<=100%", "size", 1.0, True),
        ("latency<=250us", "latency", 250, False),
        ("latency<=250µs", "latency", 250, False),
        ("latency<=1.5ms", "latency", 1500, False),
        ("latency<=0.002 s", "latency", 2000, False),
        ("latency<=1e3us", "latency", 1000, False),
        ("size<=300B", "size", 300, False),
        ("size<=300KB", "size", 300_000, False),
        ("SIZE<=1.5MiB", "size", 1.5 * 2**20, False),
        ("size<=2kib", "size", 2048, False),
        ("memory<=60%", "memory", 0.6, True),
        ("memory<=512KB", "memory", 512_000, False),
        ("macs<=12345", "macs", 12345, False),
        ("macs<=1.5G", "macs", 1.5e9, False),
        ("params<=.5M", "params", 500_000, False),
        ("params<=270k", "params", 270_000, False),
    ],
)
def test_a_budget_is_read_in_the_units_of_its_metric(text: str, metric: str, value: float, relative: bool) -> None:
    budget = Budget.parse(text)
    assert (budget.metric, budget.relative, budget.text) == (metric, relative, text.strip())
    assert budget.value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latncy<=60%", "unknown metric 'latncy' .did you mean 'latency'"),
        ("flops<=60%", "unknown metric 'flops' .known: energy, latency, macs, memory, params, size"),
        ("latency<=5kg", "unknown unit 'kg' for latency .known: %, us"),
        ("latency<=5", "unit"),
        ("macs<=5ms", "unknown unit 'ms' for macs"),
        ("macs<=0%", "must be above 0"),
        ("latency<=0ms", "must be above 0"),
        ("macs<=120%", "allows more than the original"),
        ("macs<=-5%", "is not of the form"),
        ("macs<50%", "is not of the form"),
        ("macs>=50%", "is not of the form"),
        ("macs<=", "is not of the form"),
        ("<=50%", "is not of the form"),
        ("50%", "is not of the form"),
        ("macs<=50% or so", "is not of the form"),
        ("macs<=nan", "is not of the form"),
        ("macs<=1e999", "finite"),
        ("", "is not of the form"),
    ],
)
def test_a_bad_budget_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Budget.parse(text)
    assert f"'{text}'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_share_is_of_the_original_and_a_value_is_not() -> None:
    assert Budget.parse("macs<=25%").limit(1000) == 250
    assert Budget.parse("macs<=25").limit(1000) == 25


@pytest.mark.parametrize(("text", "original", "limit"), [("macs<=29%", 100, 29), ("params<=1.13k", 10**9, 1130)])
def test_binary_fractions_take_nothing_away(text: str, original: float, limit: float) -> None:
    assert Budget.parse(text).limit(original) == limit


@given(st.floats(1e-3, 1e15))
def test_all_of_the_original_is_never_less_than_it(original: float) -> None:
    assert Budget.parse("latency<=100%").limit(original) >= original


def test_a_tightened_budget_allows_less_and_keeps_its_text() -> None:
    budget = Budget.parse("latency<=50%").tightened(0.9)
    assert budget.limit(1000) == pytest.approx(450)
    assert budget.text == "latency<=50%"


@given(st.sampled_from(["latency", "macs", "params", "size", "memory"]), st.floats(1, 1e11))
def test_a_value_as_people_read_it_is_a_budget_near_it(metric: str, value: float) -> None:
    shown = Budget.parse(f"{metric}<={format_cost(metric, value)}").value
    assert shown == pytest.approx(value, rel=0.005, abs=0.5)
