"""Operators that were never measured: refused, or guessed by a roofline and marked, if that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from automc.errors import TableError
from automc.latency_tables import Entry, LatencyTable, Overhead, Signature, WithEstimates, save_table
from tests.commands import run_command
from tests.networks import device

MACS_A_US, BYTES_A_US, LEAST = 1000.0, 400.0, 2.0


def linear(inputs: int, outputs: int, rows: int = 1) -> Signature:
    return Signature.of("linear", (inputs, outputs), n=(rows,))


def relu(channels: int, size: int = 16) -> Signature:
    return Signature.of("relu", (channels,), before=(1,), after=(size, size))


def conv(channels: int, size: int) -> Signature:
    rest = {"n": (1,), "hw": (size, size), "k": (3, 3), "s": (1, 1), "p": (1, 1), "d": (1, 1), "g": (1,)}
    return Signature.of("conv", (channels, channels), **rest)


def truth(signature: Signature) -> float:
    """A device that is a roofline."""
    if signature.op == "relu":
        return LEAST + 2 * 4 * signature.channels[0] * 256 / BYTES_A_US
    if signature.op == "conv":
        pixels = signature.get("hw")[0] ** 2
        return LEAST + 9 * pixels * signature.channels[0] ** 2 / MACS_A_US
    inputs, outputs = signature.channels
    rows = signature.get("n")[0]
    moved = 4 * (inputs * outputs + rows * (inputs + outputs))
    return LEAST + max(rows * inputs * outputs / MACS_A_US, moved / BYTES_A_US)


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    known = [*(linear(i, o, 64) for i in (8, 16, 64, 256) for o in (8, 32, 128)), *map(relu, range(1, 65, 4))]
    generator = np.random.default_rng(0)
    entries = {}
    for signature in known:
        us = truth(signature) * generator.normal(1, 0.03)
        entries[signature] = Entry(us, us, us, runs=60)
    return LatencyTable(device(), Overhead(3.0, -0.5), entries)


def test_an_operator_never_seen_is_refused_unless_asked_for(table: LatencyTable) -> None:
    for size in (4, 8, 32):
        with pytest.raises(TableError, match="has no entry for 'conv"):
            table.lookup(conv(32, size))
        found = WithEstimates(table).lookup(conv(32, size))
        assert found.how == "roofline"
        assert found.low <= truth(conv(32, size)) <= found.high
        assert found.us == pytest.approx(truth(conv(32, size)), rel=0.3)


def test_what_the_table_knows_it_answers_itself(table: LatencyTable) -> None:
    hardware = WithEstimates(table)
    for known in (linear(64, 32, 64), linear(40, 32, 64), relu(13), relu(20)):
        assert hardware.lookup(known) == table.lookup(known)
        assert hardware.cost(known) == table.cost(known)
    assert hardware.run_us == table.run_us


def test_an_estimate_has_no_overhead_taken_off(table: LatencyTable) -> None:
    hardware = WithEstimates(table)
    assert hardware.cost(conv(32, 8)) == hardware.lookup(conv(32, 8)).us


def test_more_work_is_never_estimated_to_be_quicker(table: LatencyTable) -> None:
    hardware = WithEstimates(table)
    found = [hardware.lookup(conv(channels, 8)).us for channels in (1, 2, 8, 24, 200)]
    assert found == sorted(found)


def test_without_anything_to_estimate_by_it_is_refused(table: LatencyTable) -> None:
    for known in ([], list(table.entries)[:3]):
        few = LatencyTable(device(), Overhead(3.0, -0.5), {signature: table.entries[signature] for signature in known})
        with pytest.raises(TableError, match="enough operators to estimate it by"):
            WithEstimates(few).lookup(conv(8, 8))
    with pytest.raises(TableError, match="enough operators to estimate it by"):  # no int8 was measured
        WithEstimates(table).lookup(conv(8, 8).at_bits(8, 8))


def test_the_command_estimates_if_asked_and_says_so(
    table: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_table(table, tmp_path / "table.yaml")
    command = ("latency", "query", str(conv(32, 8)), "--table", str(tmp_path / "table.yaml"))
    refused = run_command(command, monkeypatch, capsys)
    assert refused.code == 2
    assert "has no entry for" in refused.errors
    done = run_command((*command, "--estimate", "--json"), monkeypatch, capsys)
    assert json.loads(done.output)["how"] == "roofline"
    assert "roofline" in run_command((*command, "--estimate"), monkeypatch, capsys).output
