"""Tables for and from other programs: nothing is lost, nothing is run, damage is one line."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from automc.errors import AutoMCError, ConfigError, TableError
from automc.graph import ModelGraph, build_graph
from automc.latency_tables import Entry, LatencyTable, Overhead, Signature, load_table, save_table
from automc.latency_tables.formats import read_blocks, read_haq, write_csv
from tests.networks import Mean, device

BLOCK = "expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:3-stride:2-idskip:0"
BLOCKS = {
    "Conv-input:224x224x3-output:112x112x32": {"count": 949, "mean": 4.397, "var": 0.1563},
    BLOCK: {"count": 168, "mean": 11.298, "var": 0.1227},
    "Logits-input:7x7x1280-output:1000": {"mean": 0.935},
    # once-for-all's blocks name the width itself, and two things more
    "expanded_conv-input:80x80x24-output:80x80x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0": {"mean": 2.0},
    "AvgPool2D-input:5x5x1152-output:1x1x1152": {"mean": 0.5},
}


class Shortcut(nn.Module):
    """Registers its layers in another order than it runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(8, 4)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.same = nn.Conv2d(8, 8, 3, padding=1)
        self.mean = Mean()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.mean(self.same(self.inner(self.first(x).relu()).relu())))


ORDER = ["", "last", "first", "inner", "same", "mean"]


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    return build_graph(Shortcut().eval(), torch.ones(2, 3, 8, 8))


def array(path: Path, values: Any) -> Path:
    np.save(path, values)
    return path


def blocks(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return path


def test_a_csv_has_every_entry_and_its_signature_in_parts(tmp_path: Path) -> None:
    lines = ["int8.conv 3,8 g=1 hw=8x8 k=3x3", "linear 8,4 n=1", "w4a6.dwconv 16 k=5x5", "quantize 8 after= before=1"]
    entries = {Signature.parse(line): Entry(1.5 + n, 1.25, 2.5, 60, n + 1) for n, line in enumerate(lines)}
    write_csv(LatencyTable(device(), Overhead(1.0, 0.0), entries), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = {row["operator"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(lines)
    for line, row in rows.items():
        entry = entries[Signature.parse(line)]
        numbers = (row["us"], row["low"], row["high"], row["runs"], row["kernels"])
        assert tuple(map(float, numbers)) == (entry.us, entry.low, entry.high, entry.runs, entry.kernels)
        assert " ".join(filter(None, (row["op"], row["channels"], row["rest"]))) == line
    assert [rows[line]["weight_bits"] + "/" + rows[line]["activation_bits"] for line in lines] == [
        "8/8", "32/32", "4/6", "32/32",
    ]  # fmt: skip


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_csv_has_no_formulas(tmp_path: Path, start: str) -> None:
    evil = Signature.of(f"{start}HYPERLINK('x')", (1,), n=(1,))
    write_csv(LatencyTable(device(), Overhead(0.0, 0.0), {evil: Entry(1, 1, 1, 1)}), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert f"'{evil}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_an_array_of_haq_gives_a_networks_layers_at_all_bits(tmp_path: Path, graph: ModelGraph) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 9, size=(4, 8, 8)).astype(np.float32)
    path = array(tmp_path / "mobile.npy", values)
    table = read_haq(path, graph, ORDER, "ms")
    linear = Signature.parse("linear 8,4 n=2")
    first = next(s for s in table.entries if s.kind == "conv" and s.channels == (3, 8)).at_bits(32, 32)
    for weights in range(1, 9):
        for activations in range(1, 9):
            bits = weights - 1, activations - 1
            for signature, layers in ((linear, [0]), (first, [1])):
                found = table.lookup(signature.at_bits(weights, activations))
                assert found.us == pytest.approx(1e3 * values[layers, *bits].mean(), abs=1e-3)
                assert found.how == "imported"
            same = next(s for s in table.entries if s.channels == (8, 8) and s.bits == (weights, activations))
            assert table.lookup(same).us == pytest.approx(1e3 * values[2:, *bits].mean(), abs=1e-3)
    assert len(table.entries) == 3 * 64
    assert set(table.device.precisions) == {(w, a) for w in range(1, 9) for a in range(1, 9)}
    assert table.device.batch == 2
    with pytest.raises(TableError, match="imported latency table 'mobile' has no entry for 'linear 8,4 n=2'"):
        table.lookup(linear)


@pytest.mark.parametrize(("unit", "factor"), [("us", 1.0), ("s", 1e6), ("cycles:200", 0.005)])
def test_the_unit_of_an_array_is_what_was_said(tmp_path: Path, graph: ModelGraph, unit: str, factor: float) -> None:
    table = read_haq(array(tmp_path / "a.npy", np.full((4, 2, 2), 4000)), graph, ORDER, unit)
    assert {entry.us for entry in table.entries.values()} == {4000 * factor}
    assert f"numbers taken as {unit}" in table.imported


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((3, 8, 8)), "an array for 3 layers; the network has 4"),
        (np.ones((4, 8)), "shape .4, 8.; expected numbers as"),
        (np.ones((4, 8, 33)), "at most 32 bits"),
        (-np.ones((4, 8, 8)), "below zero"),
        (np.full((4, 8, 8), np.nan), "not finite"),
        (np.ones((4, 8, 8), dtype=complex), "array of complex128"),
        (np.array([["x"]]), "array of <U1"),
        (np.array([{"a": 1}], dtype=object), "damaged, or no array of numbers"),
    ],
)
def test_an_array_that_is_none_of_haqs_is_refused(tmp_path: Path, graph: ModelGraph, values: Any, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        read_haq(array(tmp_path / "a.npy", values), graph, ORDER, "ms")
    assert "a.npy" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "damaged"),
        (lambda whole: whole[:8], "damaged"),
        (lambda whole: b"", "no .npy file"),
        (lambda whole: b"PK\x03\x04" + whole, "no .npy file"),
        (lambda whole: whole.replace(b"(4, 8, 8)", b"(9999999999, 99, 99)"), "damaged"),
        (lambda whole: whole.replace(b"'descr'", b"print(1)"), "damaged"),
    ],
)
def test_a_damaged_array_is_one_line(tmp_path: Path, graph: ModelGraph, damage: Any, message: str) -> None:
    path = array(tmp_path / "a.npy", np.ones((4, 8, 8)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TableError, match=message) as caught:
        read_haq(path, graph, ORDER, "ms")
    assert "\n" not in str(caught.value)


def test_a_table_of_blocks_answers_for_its_blocks(tmp_path: Path) -> None:
    table = read_blocks(blocks(tmp_path / "pixel.yaml", BLOCKS))
    assert sorted(map(str, table.entries)) == [
        "mb.avgpool2d 1152,1152 hw=5x5 n=1 out=1x1",
        "mb.conv 3,32 hw=224x224 n=1 out=112x112",
        "mb.logits 1280,1000 hw=7x7 n=1",
        "mbconv 16,24 expand=6 hw=112x112 idskip=0 k=3x3 n=1 out=56x56 s=2x2",
        "mbconv 24,24 expand=24 hs=0 hw=80x80 idskip=1 k=3x3 n=1 out=80x80 s=1x1 se=0",
    ]
    found = table.lookup(Signature.parse("mbconv 16,24 expand=6 hw=112x112 idskip=0 k=3x3 n=1 out=56x56 s=2x2"))
    assert (found.us, found.how) == (11298.0, "imported")
    assert found.high - found.us == pytest.approx(1.645 * 1e3 * 0.1227**0.5, rel=1e-3)
    assert next(e.runs for s, e in table.entries.items() if s.op == "mb.conv") == 949


def test_an_imported_table_interpolates_nothing_and_stays_imported_in_its_file(tmp_path: Path) -> None:
    other = BLOCK.replace("56x56x24", "56x56x40")
    table = read_blocks(blocks(tmp_path / "pixel.yaml", {BLOCK: {"mean": 1.0}, other: {"mean": 2.0}}))
    save_table(table, tmp_path / "table.yaml")
    again = load_table(tmp_path / "table.yaml")
    assert again == table
    assert "pixel.yaml" in table.imported and "taken as ms" in table.imported
    between = Signature.parse(str(next(iter(again.entries))).replace("16,24", "16,32"))
    assert not again.covers(between)
    with pytest.raises(TableError, match="answers only for what its file had"):
        again.cost(between)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"expanded_conv-input:1x1x1": {"mean": 1}}, "'expanded_conv-input:1x1x1' is no block of"),
        ({BLOCK.replace("16-", "0-"): {"mean": 1}}, "is no block of"),
        ({BLOCK.replace("112", "9" * 5000): {"mean": 1}}, "is no block of"),
        ({BLOCK: {"count": 3}}, "mean' is missing"),
        ({BLOCK: {"mean": -1}}, "greater than or equal to 0"),
        ({BLOCK: {"mean": float("inf")}}, "finite"),
        ({BLOCK: 3}, "valid dictionary"),
        ({}, "no entries"),
        ("{a: [", "not valid YAML at line"),
        ("a: " + "[" * 100_000, "nested more than 100 deep"),
        ("!!python/object/apply:os.system [true]", "not valid YAML"),
    ],
)
def test_a_damaged_table_of_blocks_is_one_line(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        read_blocks(blocks(tmp_path / "pixel.yaml", data))
    assert "pixel.yaml" in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("unit", ["", "min", "cycles", "cycles:", "cycles:0", "cycles:-5", "cycles:nan", "ms:3"])
def test_an_unknown_unit_is_refused(tmp_path: Path, unit: str) -> None:
    with pytest.raises(ConfigError, match="unknown unit"):
        read_blocks(blocks(tmp_path / "pixel.yaml", BLOCKS), unit)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, graph: ModelGraph) -> None:
    for name, read in (("a.npy", lambda path: read_haq(path, graph, ORDER, "ms")), ("a.yaml", read_blocks)):
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(b"\x93NUMPY")
            file.truncate(2**26 + 1)
        with pytest.raises(AutoMCError, match="more than any"):
            read(path)
