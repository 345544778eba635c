from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from automc.devices import Device
from automc.errors import TableError
from automc.latency_tables import (
    Entry,
    LatencyTable,
    Overhead,
    Signature,
    load_table,
    open_table,
    save_table,
    table_path,
)
from tests.networks import device

CONV: dict[str, tuple[int, ...]] = {"n": (1,), "hw": (8, 8), "k": (3, 3), "s": (1, 1), "p": (1, 1), "d": (1, 1)}

names = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=8).filter(lambda name: name != "op")
numbers = st.lists(st.integers(0, 4096), max_size=4).map(tuple)
signatures = st.builds(
    lambda parts, channels, rest: Signature.of("+".join(parts), channels, **rest),
    st.lists(names, min_size=1, max_size=3),
    st.lists(st.integers(1, 4096), min_size=1, max_size=4).map(tuple),
    st.dictionaries(names.filter(lambda name: name not in {"channels", "cls"}), numbers, max_size=4),
)
micros = st.floats(0, 1e7)
entries = st.builds(lambda us, low, high, runs: Entry(us, low, high, runs), micros, micros, micros, st.integers(1, 999))


def conv(*channels: int) -> Signature:
    return Signature.of("conv+relu", channels, g=(1,), **CONV)


def pool(channels: int) -> Signature:
    return Signature.of("max_pool2d", (channels,), n=(1,), hw=(8, 8), k=(2, 2), s=(2, 2), p=(0, 0), c=(0,))


def entry(us: float) -> Entry:
    return Entry(us, us / 2, us * 2, runs=60)


def of(points: dict[Signature, float]) -> LatencyTable:
    return LatencyTable(device(), Overhead(0.0, 0.0), {signature: entry(us) for signature, us in points.items()})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "table.yaml"
    save_table(of({conv(8, 16): 7.25, conv(8, 8): 4.5, pool(8): 1.5}), path)
    return path


def damaged(path: Path, change: Any) -> Path:
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data))
    return path


@given(signatures)
def test_a_signature_is_read_back_from_its_line(signature: Signature) -> None:
    assert Signature.parse(str(signature)) == signature


@given(st.dictionaries(signatures, entries, max_size=5), st.floats(-100, 1e5), st.floats(-100, 100))
def test_a_table_is_read_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, points: dict[Signature, Entry], run: float, kernel: float
) -> None:
    path = tmp_path_factory.mktemp("table") / "table.yaml"
    written = LatencyTable(device(threads=3), Overhead(run, kernel), points, "2026-01-01T00:00:00+00:00", "how: 'so'")
    save_table(written, path)
    assert load_table(path) == written


def test_the_file_is_versioned_sorted_and_has_one_operator_a_line(saved: Path) -> None:
    lines = saved.read_text().splitlines()
    assert lines[0] == "version: 2"
    start = lines.index("operators:") + 1
    operators = [line.split("{")[0].strip().removesuffix(":") for line in lines[start:]]
    assert operators == [str(signature) for signature in (conv(8, 8), conv(8, 16), pool(8))]


def test_the_same_table_gives_the_same_file(saved: Path, tmp_path: Path) -> None:
    again = load_table(saved)
    again.entries = dict(reversed(again.entries.items()))
    save_table(again, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(version=3), "version 3 is newer than this AutoMC reads .2."),
        (lambda data: data.update(overheads={}), "unknown key 'overheads' .did you mean 'overhead_us'"),
        (lambda data: data["device"].update(thread=1), "unknown key 'device.thread' .did you mean 'threads'"),
        (lambda data: data["operators"]["linear 4,4 n=1"].update(median=1), "unknown key .*median"),
        (lambda data: data.pop("device"), "key 'device' is missing"),
        (lambda data: data.pop("version"), "key 'version' is missing"),
        (lambda data: data["operators"]["linear 4,4 n=1"].pop("us"), "us' is missing"),
        (lambda data: data["operators"]["linear 4,4 n=1"].update(us=-1.0), "greater than or equal to 0"),
        (lambda data: data["operators"]["linear 4,4 n=1"].update(us=float("nan")), "finite"),
        (lambda data: data["operators"]["linear 4,4 n=1"].update(us="fast"), "valid number"),
        (lambda data: data["operators"]["linear 4,4 n=1"].update(runs=0), "greater than or equal to 1"),
        (lambda data: data.update(operators=None), "operators"),
        (lambda data: data["operators"].update({"linear": {"us": 1, "low": 1, "high": 1, "runs": 1}}), "'linear'"),
        (lambda data: data["operators"].update({"a b n=1": {"us": 1, "low": 1, "high": 1, "runs": 1}}), "'a b n=1'"),
        (lambda data: data["operators"].update({"a 1 n=x": {"us": 1, "low": 1, "high": 1, "runs": 1}}), "'a 1 n=x'"),
        (lambda data: data["operators"].update({"a 1 op=1": {"us": 1, "low": 1, "high": 1, "runs": 1}}), "'a 1 op=1'"),
        (lambda data: data["operators"].update({"a 1 n": {"us": 1, "low": 1, "high": 1, "runs": 1}}), "'a 1 n'"),
        (lambda data: data["operators"].update({"a -8 n=1": {"us": 1, "low": 1, "high": 1, "runs": 1}}), "'a -8 n=1'"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line_that_names_the_file(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "table.yaml"
    save_table(of({Signature.parse("linear 4,4 n=1"): 2.0}), path)
    load_table(path)
    with pytest.raises(TableError, match=message) as caught:
        load_table(damaged(path, change))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version: 1\noperators: {a: [", "not valid YAML at line"),
        (b"just words", "expected keys and values"),
        (b"", "expected keys and values"),
        (b"\xff\xfe\x00\x81", "cannot be read|not valid YAML"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "table.yaml"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message) as caught:
        load_table(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        load_table(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"threads": 4}, "threads is 1, here 4"),
        ({"batch": 8}, "batch is 1, here 8"),
        ({"runtime": "fingers 2.0"}, "runtime is 'fingers 1.0', here 'fingers 2.0'"),
        ({"processor": "slide rule"}, "processor is 'abacus', here 'slide rule'"),
        ({"instructions": ["beads", "wires"]}, "instructions is .* here .*wires"),
        ({"name": "gpu", "threads": 2}, "name is 'cpu', here 'gpu'; threads is 1, here 2"),
    ],
)
def test_a_table_of_another_device_is_refused_with_the_difference(
    saved: Path, changes: dict[str, object], difference: str
) -> None:
    open_table(saved, device())
    other = device(**changes)
    with pytest.raises(TableError, match=difference) as caught:
        open_table(saved, other)
    assert str(saved) in str(caught.value)
    assert table_path(other) != table_path(device())


def test_settings_that_do_not_change_latencies_do_not_refuse_a_table(saved: Path) -> None:
    assert open_table(saved, device(channel_multiple=16)).entries == load_table(saved).entries
    assert table_path(device(channel_multiple=16)) == table_path(device())


def test_tables_of_this_machine_lie_in_the_users_home(home: Path) -> None:
    assert table_path(Device.local()).is_relative_to(home)
    assert table_path(Device.local(threads=2)) != table_path(Device.local())


def test_a_measured_operator_is_looked_up_as_it_is() -> None:
    measured = of({conv(8, 8): 3.0, conv(8, 16): 5.0, conv(16, 8): 4.0, conv(16, 16): 9.0})
    found = replace(measured, repeatability=0.02).lookup(conv(16, 8))
    assert (found.us, found.how) == (4.0, "measured")
    assert found.low < 4.0 < found.high


def test_between_measured_widths_a_latency_is_interpolated_and_marked() -> None:
    between = of({pool(8): 10.0, pool(16): 20.0, pool(64): 68.0}).lookup(pool(40))
    assert (between.us, between.how) == (44.0, "interpolated")
    assert between.low < 44.0 < between.high


linear = st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 5))


@given(linear, st.sets(st.tuples(st.integers(1, 64), st.integers(1, 64)), max_size=12), st.data())
def test_interpolation_is_exact_on_a_linear_function(
    factors: tuple[float, float, float], inner: set[tuple[int, int]], data: st.DataObject
) -> None:
    def us(i: int, o: int) -> float:
        return factors[0] + factors[1] * i + factors[2] * o

    measured = of({conv(i, o): us(i, o) for i, o in {*itertools.product((1, 64), repeat=2), *inner}})
    i, o = data.draw(st.integers(1, 64)), data.draw(st.integers(1, 64))
    found = measured.lookup(conv(i, o))
    assert found.us == pytest.approx(us(i, o), abs=1e-3)
    assert (found.how == "interpolated") == ((i, o) not in inner and not {i, o} <= {1, 64})
    assert measured.covers(conv(i, o))


def test_interpolation_stays_between_what_was_measured_around() -> None:
    rng = np.random.default_rng(0)
    grid = {(i, o): float(rng.uniform(1, 9)) for i, o in itertools.product(range(8, 65, 8), repeat=2)}
    measured = of({conv(*widths): us for widths, us in grid.items()})
    for i, o in rng.integers(8, 65, size=(60, 2)).tolist():
        around = [us for (a, b), us in grid.items() if abs(a - i) < 8 and abs(b - o) < 8]
        assert min(around) - 1e-3 <= measured.lookup(conv(i, o)).us <= max(around) + 1e-3


def test_every_width_on_the_edge_of_what_was_measured_is_covered() -> None:
    measured = of({conv(i, o): 1.0 for i, o in itertools.product(range(16, 129, 16), repeat=2)})
    for n in range(16, 129):
        assert measured.lookup(conv(16, n)).us == measured.lookup(conv(n, 128)).us == 1.0


def test_widths_that_are_always_equal_are_interpolated_along_their_line() -> None:
    # a layer whose inputs and outputs are one group, as inside a stage of a residual network
    measured = of({conv(n, n): float(n) for n in (8, 32, 64)})
    assert measured.lookup(conv(48, 48)).us == pytest.approx(48)
    assert not measured.covers(conv(48, 40))
    assert not measured.covers(conv(72, 72))


def test_widths_that_move_together_are_interpolated_in_their_plane() -> None:
    def cat(a: int, b: int, c: int) -> Signature:
        return Signature.of("cat", (a, b, c), axis=(1,), before=(1,), after=(8, 8))

    measured = of({cat(a, b, a): 1.0 + 2 * a + 3 * b for a, b in itertools.product((8, 16, 32), repeat=2)})
    assert measured.lookup(cat(20, 10, 20)).us == pytest.approx(1 + 2 * 20 + 3 * 10, abs=1e-3)
    assert not measured.covers(cat(20, 10, 21))


def test_a_width_that_was_never_changed_needs_no_second_measurement() -> None:
    measured = of({conv(3, 8): 1.0, conv(3, 16): 2.0})
    assert measured.lookup(conv(3, 12)).us == pytest.approx(1.5)
    assert not measured.covers(conv(4, 12))


@pytest.mark.parametrize("channels", [(4, 8), (8, 68), (100, 100), (0, 0)])
def test_outside_of_what_was_measured_nothing_is_guessed(channels: tuple[int, int]) -> None:
    measured = of({conv(i, o): 1.0 for i, o in itertools.product((8, 32, 64), repeat=2)})
    assert not measured.covers(conv(*channels))
    with pytest.raises(TableError, match=f"no entry for 'conv.relu {channels[0]},{channels[1]} .* and none around it"):
        measured.lookup(conv(*channels))


@pytest.mark.parametrize(
    "unknown",
    [
        Signature.of("conv", (16, 16), g=(1,), **CONV),
        Signature.of("conv+relu", (16, 16), g=(1,), **(CONV | {"hw": (16, 16)})),
        Signature.of("conv+relu", (16, 16), g=(1,), **(CONV | {"s": (2, 2)})),
        Signature.of("roll", (16,), n=(1,)),
    ],
)
def test_an_unknown_operator_is_never_guessed(unknown: Signature) -> None:
    measured = of({conv(i, o): 1.0 for i, o in itertools.product((8, 32, 64), repeat=2)})
    with pytest.raises(TableError, match="measure it with"):
        measured.lookup(unknown)


def test_one_measured_width_says_nothing_about_others() -> None:
    assert not of({pool(8): 1.0}).covers(pool(9))


def test_merging_adds_and_replaces_and_leaves_the_old_table_alone() -> None:
    old = of({pool(8): 1.0, pool(16): 2.0})
    new = old.merged({pool(16): entry(5.0), pool(24): entry(6.0)})
    assert {s.channels: e.us for s, e in new.entries.items()} == {(8,): 1.0, (16,): 5.0, (24,): 6.0}
    assert {s.channels: e.us for s, e in old.entries.items()} == {(8,): 1.0, (16,): 2.0}
    assert (new.device, new.overhead, new.measured_at) == (old.device, old.overhead, old.measured_at)
