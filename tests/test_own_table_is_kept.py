"""The user's own table grows by what a search lacks, and is never overwritten when it is damaged or foreign."""

import pytest

from automc.devices import Device, LocalBench
from automc.errors import TableError
from automc.latency_tables import Signature, ensure_table, load_table, table_path


def linear(inputs: int) -> Signature:
    return Signature.of("linear", (inputs, 8), n=(1,))


def test_only_what_is_missing_is_measured_and_added() -> None:
    bench = LocalBench()
    first, reused = ensure_table(bench, [linear(8), linear(32)])
    assert not reused
    between, reused = ensure_table(bench, [linear(16)])  # interpolated: nothing to measure
    assert reused
    assert between == first
    grown, reused = ensure_table(bench, [linear(8), linear(64)])
    assert not reused
    assert grown.entries == first.entries | {linear(64): grown.entries[linear(64)]}
    assert load_table(table_path(bench.device)) == grown


@pytest.mark.parametrize(
    "change", [("threads: 1", "threads: 2"), ("version: 2", "version: 99"), ("operators:", "op: [")]
)
def test_a_damaged_or_foreign_table_is_refused_and_left_as_it_is(change: tuple[str, str]) -> None:
    bench = LocalBench()
    ensure_table(bench, [linear(8)])
    path = table_path(bench.device)
    path.write_text(path.read_text().replace(*change))
    damaged = path.read_text()
    with pytest.raises(TableError, match="delete it and it will be measured anew"):
        ensure_table(bench, [linear(8)])
    assert path.read_text() == damaged


def test_threads_and_batch_have_tables_of_their_own() -> None:
    paths = {table_path(Device.local(threads, batch)) for threads in (1, 2) for batch in (1, 4)}
    assert len(paths) == 4
