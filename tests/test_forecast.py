"""What a network is predicted to cost is the cost model's figure, with an interval and where it comes from."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from automc.costs import CostModel, forecast
from automc.costs.forecasts import NINE_OF_TEN
from automc.errors import ConfigError, TableError
from automc.latency_tables import Entry, LatencyTable, Overhead, Validation
from automc.search_spaces import Choice, Policy, SpaceConfig
from tests.networks import Example, Mean, device, networks, priced, randomize, with_random_table


@settings(max_examples=6)
@given(networks(), st.integers(0, 99))
def test_it_is_what_the_cost_model_says_whatever_the_space(example: Example, seed: int) -> None:
    model = with_random_table(priced(example), seed)
    assert model.table is not None
    for index in model.space.sample(np.random.default_rng(seed), 3):
        policy = model.space.decode(index)
        found, expected = forecast(model.graph, model.table, policy), model.cost(policy)
        assert {name: found.cost.get(name) for name in model.metrics} == pytest.approx(
            {name: expected.get(name) for name in model.metrics}
        )
        assert [operator.signature for operator in found.operators] == model.signatures(index)
        assert found.run_us + sum(operator.us for operator in found.operators) == pytest.approx(found.us)
        assert found.low <= found.us <= found.high
        assert found.shares == {"measured": pytest.approx(1.0)} if found.operators else not found.shares


def stack(*widths: int) -> Example:
    """Convolutions of these widths on images of one size: equal ones have one signature."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip((3, *widths), widths, strict=False):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    return Example(randomize(nn.Sequential(*layers, Mean(), nn.Linear(widths[-1], 4)), 0), torch.ones(1, 3, 8, 8))


def table_of(model: CostModel, us: float = 10.0, off: float = 1.0, run: float = 5.0) -> LatencyTable:
    entry = Entry(us, us - off, us + off, runs=60)
    entries = dict.fromkeys(model.all_signatures(most=10**9), entry)
    # an operator's interval reaches as far to each side as nine of ten measurements
    return LatencyTable(device(), Overhead(run, 0.0), entries, repeatability=off / us / NINE_OF_TEN)


def validation(rmspe: float, subject: str = "digits") -> Validation:
    shares: dict[str, Any] = dict.fromkeys(("median", "within5", "within10", "spearman", "bias", "repeatability"), 0.0)
    return Validation(
        subject=subject, space="width", policies=40, seed=0, measured_at="2026-01-01", rmspe=rmspe, **shares
    )


def test_errors_of_a_table_never_validated_add_up_as_if_all_had_the_same_sign() -> None:
    model = priced(stack(8, 8, 8), SpaceConfig(channel_multiple=4))
    found = forecast(model.graph, table_of(model))
    assert len(found.operators) == 5
    assert (found.low, found.us, found.high) == pytest.approx((50.0, 55.0, 60.0), abs=1e-2)
    assert "never validated" in found.interval


def test_errors_of_a_validated_table_are_independent_but_for_equal_operators_and_a_common_error() -> None:
    model = priced(stack(8, 8, 8), SpaceConfig(channel_multiple=4))
    table = replace(table_of(model), validations=(validation(0.02), validation(0.1, "mobile"), validation(0.04)))
    found = forecast(model.graph, table)
    common = NINE_OF_TEN * 0.1 * 55.0
    # of five operators two convolutions are the same one, whose error comes twice
    assert found.us - found.low == pytest.approx(math.sqrt(2**2 + 3 * 1**2 + common**2), rel=1e-3)
    assert found.high - found.us == pytest.approx(math.sqrt(2**2 + 3 * 1**2 + common**2), rel=1e-3)
    assert "10.0%: RMSPE of mobile" in found.interval


def test_a_share_of_the_latency_is_told_for_each_origin() -> None:
    model = priced(stack(16, 8), SpaceConfig(channel_multiple=4))
    table = table_of(model)
    wide = [s for s in table.entries if s.op == "conv+relu" and s.channels[0] == 3]
    between = next(s for s in wide if s.channels == (3, 8))
    del table.entries[between]
    found = forecast(model.graph, table, Policy({"0": Choice(channels=8)}))
    assert [operator.how for operator in found.operators].count("interpolated") == 1
    assert found.counts == {"measured": 3, "interpolated": 1}
    assert found.shares == {"measured": pytest.approx(0.75), "interpolated": pytest.approx(0.25)}


def test_operators_that_are_not_known_are_counted_and_the_first_is_named() -> None:
    model = priced(stack(8, 8), SpaceConfig(channel_multiple=4))
    table = table_of(model)
    table.entries = {s: e for s, e in table.entries.items() if s.op != "conv+relu"}
    with pytest.raises(TableError, match=r"2 of the network's 4 operators are not known: .*'conv\+relu 3,8 ") as caught:
        forecast(model.graph, table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("policy", "error", "message"),
    [
        (Policy({"nowhere": Choice(channels=4)}), ConfigError, "the policy has unit 'nowhere'"),
        (Policy({"0": Choice(channels=99)}), ConfigError, "channels=99 for 0"),
        (Policy({"0": Choice(keep=False)}), ConfigError, "keep"),
        (Policy({"0": Choice(weight_bits=4, activation_bits=6)}), TableError, "0: cpu does not run 4/6 bits"),
    ],
)
def test_a_policy_of_another_network_or_device_is_refused(policy: Policy, error: type[Exception], message: str) -> None:
    model = priced(stack(8, 8), SpaceConfig(channel_multiple=4))
    with pytest.raises(error, match=message):
        forecast(model.graph, table_of(model), policy)
