"""How a table grows: in pieces that are kept, until time is over, where least is known; and what disturbs it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from automc.errors import RuntimeFailure
from automc.latency_tables import Entry, LatencyTable, Overhead, Signature, extend_table
from automc.latency_tables.measure import measure_entries
from tests.benches import REFERENCE_US, FormulaBench, linear
from tests.networks import device

GRID = [linear(i, o) for i, o in itertools.product(range(8, 257, 8), range(8, 65, 8))]


def plain(inputs: int, outputs: int) -> float:
    return 2 + inputs * outputs / 100


def empty() -> LatencyTable:
    return LatencyTable(device(), Overhead(0.0, 0.0))


class Kept:
    """What a table was each time that it was kept."""

    def __init__(self) -> None:
        self.tables: list[LatencyTable] = [empty()]

    def __call__(self, table: LatencyTable) -> None:
        self.tables.append(table)


def test_a_table_is_kept_after_every_piece_and_goes_on_where_it_stopped() -> None:
    class Breaks(FormulaBench):
        def run(self, *arguments, **more):
            if len(self.asked) == 1:
                raise RuntimeFailure("the cable was pulled")
            return super().run(*arguments, **more)

    kept, bench = Kept(), Breaks(plain)
    with pytest.raises(RuntimeFailure, match="cable"):
        extend_table(bench, empty(), GRID, keep=kept)
    first = kept.tables[-1]
    assert 0 < len(first.entries) < len(GRID)
    whole = FormulaBench(plain)
    table = extend_table(whole, first, GRID, keep=kept)
    assert set(table.entries) == set(GRID)
    assert sum(whole.asked) == len(GRID) - len(first.entries)
    assert kept.tables[-1] == table


def test_no_piece_is_begun_after_the_time_is_over() -> None:
    bench = FormulaBench(plain)
    assert extend_table(bench, empty(), GRID, seconds=0).entries == {}
    assert bench.asked == []


def test_what_is_sure_is_not_measured_and_what_is_not_is() -> None:
    corners = [s for s in GRID if s.channels[0] in (8, 64, 128, 192, 256) and s.channels[1] in (8, 24, 40, 64)]

    def bumpy(inputs: int, outputs: int) -> float:
        return plain(inputs, outputs) * (2 if 100 < inputs < 160 else 1)

    counts = {}
    for name, us in {"plain": plain, "bumpy": bumpy}.items():
        bench = FormulaBench(us)
        table = extend_table(bench, empty(), corners, candidates=GRID)
        counts[name] = len(table.entries)
        errors = [found.us / us(*s.channels) - 1 for s, found in zip(GRID, table.lookup_many(GRID), strict=True)]
        assert np.quantile(np.abs(errors), 0.9) < 0.1
    assert counts["plain"] < 0.5 * len(GRID)
    assert counts["plain"] < counts["bumpy"]


def test_a_disturbed_pass_is_left_out() -> None:
    bench = FormulaBench(plain, lambda asked, model, turn: 1.5 if turn == 1 and model % 2 else 1.0)
    measured = measure_entries(bench, GRID)
    assert measured.reference_us == pytest.approx(REFERENCE_US)
    for signature, entry in measured.entries.items():
        assert entry.us == pytest.approx(plain(*signature.channels), abs=1e-3)
        assert not entry.drifted
    assert len(bench.asked) == 1


def test_a_model_that_was_disturbed_throughout_is_measured_again() -> None:
    bench = FormulaBench(plain, lambda asked, model, turn: 2.0 if asked == 0 and model == 0 else 1.0)
    measured = measure_entries(bench, GRID)
    assert len(bench.asked) == 2
    assert bench.asked[1] < bench.asked[0]
    for signature, entry in measured.entries.items():
        assert entry.us == pytest.approx(plain(*signature.channels), abs=1e-3)
        assert not entry.drifted


def test_what_stays_disturbed_is_marked() -> None:
    bench = FormulaBench(plain, lambda asked, model, turn: 2.0 if model == 0 or asked else 1.0)
    measured = measure_entries(bench, GRID)
    marked = [signature for signature, entry in measured.entries.items() if entry.drifted]
    assert 0 < len(marked) < len(GRID) / 4


def test_a_device_that_is_slower_than_when_the_table_was_begun_is_noticed() -> None:
    begun = extend_table(FormulaBench(plain), empty(), GRID[:24])
    assert begun.reference_us == pytest.approx(REFERENCE_US)
    later = extend_table(FormulaBench(plain, lambda *_: 1.4), begun, GRID[:48])
    assert {s for s, entry in later.entries.items() if entry.drifted} == set(GRID[24:48])
    for signature, entry in later.entries.items():  # in proportion to what was measured before
        assert entry.us == pytest.approx(plain(*signature.channels), rel=1e-3)


@pytest.mark.parametrize("answer", [math.nan, math.inf])
def test_a_device_that_answers_no_time_is_refused(answer: float) -> None:
    with pytest.raises(RuntimeFailure, match="answered no time for operator 'linear 8,8 n=1'"):
        measure_entries(FormulaBench(lambda *_: answer), [linear(8, 8)])


def test_an_operator_that_the_runtime_left_out_is_named() -> None:
    class Leaves(FormulaBench):
        def run(self, *arguments, **more):
            answer = super().run(*arguments, **more)
            return [
                {**one, "passes": [{n: v for n, v in p.items() if n != "k0.op"} for p in one["passes"]]}
                for one in answer
            ]

    with pytest.raises(RuntimeFailure, match="did not run operator 'linear 8,8 n=1'"):
        measure_entries(Leaves(plain), [linear(8, 8)])


def test_nothing_known_is_measured_again() -> None:
    known = empty().merged({signature: Entry(1.0, 1.0, 1.0, runs=1) for signature in GRID})
    bench = FormulaBench(plain)
    assert extend_table(bench, known, GRID, candidates=GRID) == known
    assert bench.asked == []


def test_families_share_what_time_there_is() -> None:
    def at(rows: int) -> list[Signature]:
        return [Signature.of("linear", (i, 8), n=(rows,)) for i in range(8, 257, 8)]

    candidates = [*at(1), *at(2), *at(3)]
    ends = [s for s in candidates if s.channels[0] in (8, 256)]
    rough = FormulaBench(lambda inputs, outputs: 5 + 4 * math.sin(inputs))
    table = extend_table(rough, empty(), ends, candidates=candidates)
    measured = [sum(s.get("n") == (rows,) for s in table.entries) for rows in (1, 2, 3)]
    assert min(measured) > 2
    assert max(measured) - min(measured) <= 4
