"""How far a table is off for whole networks: policies over all costs, figures as defined, kept with the table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automc.campaigns import SearchConfig, Subject, calibrate, read_subject, render_validation, set_up, validate
from automc.campaigns.networks import fingerprint
from automc.campaigns.validation import keep, repeatability
from automc.costs import CostModel
from automc.devices import Bench
from automc.errors import ConfigError, RuntimeFailure
from automc.graph import build_graph
from automc.latency_tables import Entry, LatencyTable, Overhead, load_table
from automc.latency_tables.validation import trust
from automc.models import CifarResNet
from automc.search_spaces import SearchSpace, SpaceConfig, build_space, load_preset, spread
from tests.commands import run_command
from tests.failing import Never, NotExported
from tests.networks import device

HERE = Path(__file__).parent
COUNT, SEED = 4, 3


class FakeBench(Bench):
    """A device on which the models take times that are known beforehand."""

    def __init__(self, factors: Sequence[float] = ()) -> None:
        self.device, self.factors, self.predicted = device(), factors, np.array([])

    def run(self, action: str, description: str, steps: int, models: Sequence[Path], *args: Any, **kwargs: Any) -> Any:
        assert action == "clock"
        assert all(path.is_file() for path in models)
        times = self.predicted[: len(models)] / np.array([1.0, *self.factors])[: len(models)]
        return {"us": np.broadcast_to(times[:, None, None], (len(models), 4, 5)).tolist(), "uj": None}


def read(bench: FakeBench, task: type[Never] = Never) -> tuple[Subject, SearchSpace, LatencyTable]:
    """A small network with a made-up table; the bench knows what it predicts of the policies that will be drawn."""
    subject = read_subject(task(), bench)
    space = build_space(subject.graph, SpaceConfig(channel_multiple=4, bits=(8,)), 4, ((8, 8), (32, 32)))
    table = LatencyTable(bench.device, Overhead(run=10.0, kernel=0.0))
    for signature in CostModel(subject.graph, space).all_signatures(most=10**9):
        us = 1 + 0.01 * math.prod(signature.channels)
        table.entries[signature] = Entry(us, us, us, runs=1)
    drawn = spread(space, np.random.default_rng(SEED), COUNT)
    indices = np.concatenate([space.full[None], drawn])
    bench.predicted = CostModel(subject.graph, space, table).prices(indices)["latency"]
    return subject, space, table


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests here keep what they export."""
    return tmp_path_factory.mktemp("exported")


def resnet_space() -> tuple[CostModel, SearchSpace]:
    graph = build_graph(CifarResNet(3).eval(), torch.zeros(1, 3, 32, 32))
    space = build_space(graph, load_preset("all"), 8, ((8, 8), (32, 32)))
    return CostModel(graph, space), space


def test_policies_range_over_all_costs_and_precisions() -> None:
    costs, space = resnet_space()
    indices = spread(space, np.random.default_rng(0), 60)
    assert len(np.unique(indices, axis=0)) == 60
    assert (indices == space.canonical(indices)).all()
    assert not (indices == space.full).all(axis=1).any()
    macs = costs.prices(indices)["macs"] / costs.prices(space.full[None])["macs"]
    plain = costs.prices(space.sample(np.random.default_rng(0), 60))["macs"] / costs.prices(space.full[None])["macs"]
    assert np.ptp(macs) > 1.5 * np.ptp(plain)
    assert macs.min() < 0.2
    assert macs.max() > 0.9
    assert np.histogram(macs, bins=4, range=(0, 1))[0].min() >= 5
    int8 = (indices != space.full)[:, space.is_bits].mean(axis=1)
    assert int8.min() < 0.05
    assert int8.max() > 0.8
    assert (spread(space, np.random.default_rng(0), 60) == indices).all()
    assert (spread(space, np.random.default_rng(1), 60) != indices).any()


def test_a_small_space_gives_all_but_the_original() -> None:
    _, space = resnet_space()
    widest = int(np.flatnonzero(space.is_width)[0])
    small = SearchSpace((space.axes[widest],), (-1,))
    found = spread(small, np.random.default_rng(0), 50)
    assert sorted(found.ravel().tolist()) == list(range(len(space.axes[widest].options) - 1))


def test_a_table_is_fitted_on_networks_that_no_validation_measures(exported: Path) -> None:
    bench = FakeBench()
    subject, space, table = read(bench)
    indices = np.stack([space.full, *spread(space, np.random.default_rng([SEED, 1]), 6)])
    bench.predicted = 1.1 * CostModel(subject.graph, space, table).prices(indices)["latency"]
    fitted = calibrate(subject, space, table, 6, SEED, "network", exported)
    assert [whole.policy for whole in fitted.wholes] == [fingerprint(space.decode(index)) for index in indices]
    prices = CostModel(subject.graph, space, fitted).prices(indices)["latency"]
    assert np.abs(prices / bench.predicted - 1).max() < 0.02
    drawn = spread(space, np.random.default_rng(SEED), COUNT)
    known = {fingerprint(space.decode(index)) for index in drawn[:2]}
    some = replace(fitted, wholes=tuple(replace(fitted.wholes[0], policy=name) for name in known))
    _, points = validate(subject, space, some, COUNT, SEED, "network", exported)
    assert len(points) == COUNT + 1
    assert not known & {fingerprint(point.policy) for point in points}


def test_figures_are_those_of_the_relative_errors(exported: Path) -> None:
    errors = np.array([0.04, -0.04, 0.08, 0.2])
    bench = FakeBench((1 + errors).tolist())
    validation, points = validate(*read(bench), COUNT, SEED, "network", exported)
    assert [point.error for point in points] == pytest.approx([0, *errors], abs=1e-3)
    assert validation.rmspe == pytest.approx(np.sqrt(np.mean(errors**2)), abs=1e-3)
    assert validation.median == pytest.approx(0.06, abs=1e-3)
    assert validation.bias == pytest.approx(0.07, abs=1e-3)
    assert (validation.within5, validation.within10, validation.repeatability) == (0.5, 0.75, 0.0)
    assert (validation.subject, validation.policies, validation.seed, validation.passed_by) == ("network", 4, SEED, 0)
    assert validation.space == "width, int8"
    assert -1 <= validation.spearman <= 1
    assert points[0].fewer_bits == 0
    assert len({point.policy for point in points}) == COUNT + 1


def test_a_measurement_repeats_to_what_two_of_them_differ_by() -> None:
    generator = np.random.default_rng(0)
    medians = 100 * (1 + 0.02 * generator.standard_normal((400, 2, 16)))
    two = np.median(medians, axis=2)
    differs = np.sqrt(np.mean((two[:, 0] / two[:, 1] - 1) ** 2))
    assert repeatability(medians[:, 0]) == pytest.approx(differs, rel=0.15)
    drifted = np.repeat([[100.0, 104.0]], 8, axis=1)  # eight passes, then eight slower ones
    assert repeatability(drifted) == pytest.approx(0.04 / 1.04 / math.sqrt(2))


def test_files_that_are_kept_are_not_exported_again(exported: Path) -> None:
    bench = FakeBench([1.0] * COUNT)
    subject, space, table = read(bench)
    first = validate(subject, space, table, COUNT, SEED, folder=exported)
    files = {path: path.stat().st_mtime_ns for path in exported.iterdir()}
    assert len(files) > COUNT
    second = validate(subject, space, table, COUNT, SEED, folder=exported)
    assert {path: path.stat().st_mtime_ns for path in exported.iterdir()} == files
    assert second[1] == first[1]


def test_a_policy_that_cannot_be_exported_is_passed_by_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    bench = FakeBench([1.0] * COUNT)
    validation, points = validate(*read(bench, NotExported), COUNT, SEED)
    assert (validation.policies, validation.passed_by, len(points)) == (3, 1, 4)
    assert "passed by: the model cannot be exported to ONNX: ValueError: not to be exported" in capsys.readouterr().err


@pytest.mark.parametrize("us", [math.nan, 0.0])
def test_no_figures_without_a_measurement(us: float, exported: Path) -> None:
    bench = FakeBench([1.0] * COUNT)
    subject, space, table = read(bench)
    bench.predicted = bench.predicted * [1, 1, us, 1, 1]
    with pytest.raises(RuntimeFailure, match="was measured to take"):
        validate(subject, space, table, COUNT, SEED, folder=exported)


def test_too_few_policies_are_refused() -> None:
    subject, space, table = read(FakeBench())
    one = SearchSpace(space.axes[:1], (-1,))
    few = SearchSpace((type(one.axes[0])(one.axes[0].unit, one.axes[0].field, one.axes[0].options[-2:]),), (-1,))
    with pytest.raises(ConfigError, match="mine: its search space has 1 policies that nothing was fitted on, 3 are"):
        validate(subject, few, table, name="mine")


def test_the_page_loads_nothing_and_says_the_figures(exported: Path) -> None:
    bench = FakeBench([1.02, 0.97, 1.2, 1.0])
    subject, space, table = read(bench)
    validation, points = validate(subject, space, table, COUNT, SEED, "<b>mine</b>", exported)
    page = render_validation(validation, points, subject.units(), table, exported / "table.yaml")
    assert page.count("plotly.js v") == 1
    assert "default-src 'none'" in page
    assert "<b>mine</b>" not in page
    assert f"{100 * validation.rmspe:.1f}% RMSPE" in page
    assert "layers in int8" in page
    assert not [words for words in ("src=", "href=", "@import", "url(") if words in page.partition("<body>")[0]]


def test_a_table_says_how_it_was_validated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(HERE)

    def run(*arguments: str) -> str:
        done = run_command(("latency", *arguments), monkeypatch, capsys)
        assert done.code == 0, done.errors
        return done.output

    plot, command = tmp_path / "plot.html", ("validate", "failing.py:Never", "--policies", "3")
    answer = json.loads(run(*command, "--json", "--out", str(plot)))
    assert answer["policies"] == 3
    assert len(answer["networks"]) == 4
    assert "3 random policies" in plot.read_text()
    path = Path(answer["path"])
    table = load_table(path)
    (validation,) = table.validations
    assert validation.subject == "failing.py:Never"
    assert 0 < validation.rmspe < math.inf
    said = f"this table predicted 3 random policies of failing.py:Never (width, int8) to {100 * validation.rmspe:.1f}%"
    assert said in run("show")
    assert json.loads(run("show", "--json"))["validations"] == [validation.model_dump(mode="json")]
    # a second is added to it, and a search with the table tells it
    keep(second := validation.model_copy(update={"seed": 1}), path)
    assert load_table(path) == replace(table, validations=(validation, second))
    capsys.readouterr()
    setup = set_up(SearchConfig(task="failing.py:Never", budget=("latency<=100%",)), HERE)
    assert setup.table_info is not None
    assert setup.table_info.validations == [validation, second]
    assert f"Latency: {second}" in capsys.readouterr().err


def test_the_newest_validation_of_the_same_network_counts(exported: Path) -> None:
    validation, _ = validate(*read(FakeBench([1.1] * COUNT)), COUNT, SEED, "one", exported)
    other = validation.model_copy(update={"subject": "other"})
    newer = validation.model_copy(update={"policies": 5})
    assert trust([validation, newer, other], "one") == str(newer)
    assert trust([validation, newer, other], "third") == str(other)
    assert trust([]) == "this table was never validated: automc latency validate"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--policies", "2"), "greater than or equal to 3"),
        (("--device", "nowhere"), "unknown device 'nowhere'"),
        (("--table", "none.yaml"), "none.yaml: no such file"),
    ],
)
def test_what_cannot_be_validated_is_refused_in_one_line(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(HERE)
    done = run_command(("latency", "validate", "failing.py:Never", *arguments), monkeypatch, capsys)
    assert (done.code, done.output) == (2, "")
    assert said in done.line
