"""What a table answers about operators that were not measured, and how sure it says it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from automc.errors import TableError
from automc.latency_tables import Correction, Entry, LatencyTable, Overhead, Signature, load_table, save_table
from tests.networks import device

FAST = 16  # a made-up runtime computes in blocks of so many channels, and is slow where one is not full


def depthwise(channels: int, size: int = 8) -> Signature:
    rest = {"n": (1,), "hw": (size, size), "k": (3, 3), "s": (1, 1), "p": (1, 1), "d": (1, 1)}
    return Signature.of("dwconv", (channels,), **rest)


def conv(inputs: int, outputs: int, size: int = 8) -> Signature:
    return Signature.of(
        "conv", (inputs, outputs), n=(1,), hw=(size, size), k=(1, 1), s=(1, 1), p=(0, 0), d=(1, 1), g=(1,)
    )


def stepped(channels: int) -> float:
    return (1.0 if channels % FAST == 0 else 2.0) * -(-channels // FAST) * FAST / 8 + 1


def of(points: dict[Signature, float], **fields: object) -> LatencyTable:
    entries = {signature: Entry(us, us, us, runs=60) for signature, us in points.items()}
    return LatencyTable(device(), Overhead(0.0, 0.0), entries, **fields)  # type: ignore[arg-type]


def test_widths_that_fill_the_runtimes_blocks_are_told_apart_from_those_that_do_not() -> None:
    measured = of({depthwise(c): stepped(c) for c in range(8, 385, 8) if c % 48 != 0 or c in (48, 384)})
    for channels in (96, 144, 192, 240, 336):  # left out above
        assert measured.lookup(depthwise(channels)).us == pytest.approx(stepped(channels), rel=0.01)
    for channels in (100, 151, 200):  # none like them was measured
        assert measured.lookup(depthwise(channels)).us == pytest.approx(stepped(channels), rel=0.15)


def test_steps_of_two_widths_at_once_are_respected() -> None:
    def us(i: int, o: int) -> float:
        return stepped(i) * stepped(o)

    grid = {(i, o): us(i, o) for i, o in itertools.product(range(8, 137, 8), repeat=2)}
    left_out = [pair for number, pair in enumerate(grid) if number % 7 == 3 and not {8, 16, 128, 136} & set(pair)]
    measured = of({conv(*pair): value for pair, value in grid.items() if pair not in left_out})
    errors = [measured.lookup(conv(*pair)).us / grid[pair] - 1 for pair in left_out]
    assert np.abs(errors).max() < 0.01


def test_nine_of_ten_intervals_hold_what_is_measured_later() -> None:
    generator = np.random.default_rng(0)
    truth = {
        conv(i, o): (1 + i * o / 300) * generator.normal(1, 0.05)
        for i, o in itertools.product(range(8, 257, 8), repeat=2)
    }
    signatures = list(truth)
    later = {signatures[number] for number in generator.choice(len(signatures), 400, replace=False)}
    measured = of({s: us for s, us in truth.items() if s not in later})
    asked = [signature for signature in sorted(later) if measured.covers(signature)]
    assert len(asked) > 350
    held = [one.low <= truth[s] <= one.high for s, one in zip(asked, measured.lookup_many(asked), strict=True)]
    assert 0.85 <= np.mean(held) <= 0.97


def test_other_sizes_of_a_known_kind_are_regressed_and_marked() -> None:
    def us(channels: int, size: int) -> float:
        return channels * size * size / 500

    sizes = (4, 8, 12, 24, 32)
    measured = of({depthwise(c, size): us(c, size) for c in range(8, 129, 8) for size in sizes})
    found = measured.lookup(depthwise(64, 16))
    assert found.how == "regressed"
    assert found.us == pytest.approx(us(64, 16), rel=0.2)
    assert found.low < us(64, 16) < found.high
    assert not measured.covers(depthwise(64, 16))
    other = Signature.of("dwconv", (64,), n=(1,), hw=(16, 16))  # numbers that mean something else
    for outside in (depthwise(64, 64), depthwise(64, 2), depthwise(4, 16), depthwise(999, 16), other):
        with pytest.raises(TableError, match="measure it with"):
            measured.lookup(outside)


def test_asking_for_many_gives_what_asking_one_by_one_gives() -> None:
    measured = of({depthwise(c, size): c * size * 1.0 for c in range(8, 129, 8) for size in (4, 8, 12, 16)})
    asked = [depthwise(c, size) for c in (8, 12, 20, 64, 127) for size in (4, 6, 16)]
    assert measured.lookup_many(asked) == [measured.lookup(one) for one in asked]


def test_less_is_known_where_the_device_repeats_itself_less() -> None:
    points = {depthwise(8): 10.0, depthwise(16): 20.0}
    steady, unsteady = (of(points, repeatability=share).lookup(depthwise(8)) for share in (0.01, 0.05))
    assert unsteady.high - unsteady.low == pytest.approx(5 * (steady.high - steady.low), rel=0.02)


def networks(
    count: int, scale: float, each: float, noise: float = 0.0
) -> tuple[LatencyTable, list[tuple[list[Signature], float]]]:
    """Networks of random layers that take ``scale`` times what their operators do, and ``each`` for every one."""
    measured = of({conv(c, c): float(c) for c in range(8, 129, 8)} | {depthwise(c): c / 4 for c in range(8, 129, 8)})
    generator = np.random.default_rng(1)
    made = []
    for _ in range(count):
        widths = generator.integers(1, 17, 20) * 8
        layers = [conv(c, c) if generator.random() < 0.5 else depthwise(c) for c in widths.tolist()]
        us = 4.0 + sum((scale if s.op == "conv" else 1.0) * measured.lookup(s).us + each for s in layers)
        made.append((layers, us * generator.normal(1, noise)))
    return measured, made


def test_what_whole_networks_take_corrects_what_their_operators_add_up_to() -> None:
    measured, made = networks(44, scale=1.08, each=-0.4, noise=0.002)
    fitted = measured.fitted([measured.whole("some", "", layers, us) for layers, us in made[:24]])

    def error(table: LatencyTable) -> float:
        sums = [table.run_us + sum(map(table.cost, layers)) for layers, _ in made[24:]]
        return float(np.sqrt(np.mean([(s / us - 1) ** 2 for s, (_, us) in zip(sums, made[24:], strict=True)])))

    assert error(measured) > 0.03
    assert error(fitted) < 0.01
    assert fitted.overhead.of(conv(8, 8)).scale == pytest.approx(1.08, abs=0.02)


def test_corrections_stay_near_what_chains_say_where_networks_say_little() -> None:
    measured, made = networks(1, scale=1.0, each=0.3)
    corrections = measured.fitted([measured.whole("some", "", *made[0])]).overhead.kinds
    assert set(corrections) == {"conv", "dwconv"}
    for correction in corrections.values():
        assert abs(correction.scale - 1) < 0.02
        assert 0 < correction.us < 0.3


def test_no_operator_is_corrected_to_less_than_nothing() -> None:
    measured, made = networks(24, scale=1.0, each=-3.0)  # dwconv of 8 channels take 2 by themselves
    fitted = measured.fitted([measured.whole("some", "", *one) for one in made])
    assert fitted.overhead.kinds["dwconv"].us >= -2.0
    assert all(fitted.cost(signature) >= 0 for signature in fitted.entries)


def test_networks_of_another_subject_are_kept_and_those_of_the_same_replaced() -> None:
    measured, made = networks(4, scale=1.0, each=0.0)
    a, b, c, d = (measured.whole(subject, "", *one) for subject, one in zip("aabb", made, strict=True))
    assert measured.fitted([a, b]).fitted([c]).fitted([d]).wholes == (a, b, d)


def test_corrections_and_networks_are_kept_in_the_file(tmp_path) -> None:
    measured, made = networks(6, scale=1.1, each=0.2)
    table = measured.fitted([measured.whole("some", "", *one) for one in made])
    save_table(table, tmp_path / "table.yaml")
    assert load_table(tmp_path / "table.yaml") == table
    assert isinstance(table.overhead.kinds["conv"], Correction)
