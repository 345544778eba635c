"""Asking tables from the command line: a network, two tables, files of others, and what is refused."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from automc.costs import CostModel
from automc.devices import Device
from automc.graph import build_graph
from automc.latency_tables import Entry, LatencyTable, Overhead, Signature, Validation, save_table, table_path
from automc.latency_tables.compare import QUANTILES, compare
from automc.recipes import weights_digest
from automc.search_spaces import SpaceConfig, build_space
from tests.commands import Command, run_command

OWN = """
import torch
from torch import nn
from automc.tasks import Task

class Net(Task):
    def batches(self, split, n=None, seed=0):
        data = torch.ones(4, 6)
        yield data[:n], torch.zeros(4, dtype=torch.long)[:n]

    def model(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)).eval()
"""


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)).eval()


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    """A made-up table of all that the network can run on this machine: an operator takes as long as it is wide."""
    graph = build_graph(net(), torch.ones(1, 6))
    device = Device.local()
    space = build_space(graph, SpaceConfig(bits=(8,)), 4, device.precisions)
    signatures = CostModel(graph, space).all_signatures(most=10**9)
    entries = {s: Entry(us, us - 0.5, us + 1, 60) for s in signatures for us in [float(sum(s.channels))]}
    return LatencyTable(device, Overhead(3.0, 0.0), entries, method="by hand")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    return lambda *arguments: run_command(("latency", *arguments), monkeypatch, capsys)


@pytest.fixture
def refused(run: Command) -> Callable[..., str]:
    def call(*arguments: str) -> str:
        done = run(*arguments)
        assert done.code == 2 and not done.output
        assert done.line.startswith("automc: ")
        return done.line

    return call


@pytest.fixture
def own(table: LatencyTable, home: Path) -> LatencyTable:
    save_table(table, table_path(table.device))
    return table


def recipe(path: Path, digest: str | None = None, **choice: object) -> str:
    """Writes a recipe for the network; nothing but its policy and model is looked at."""
    figures = {"macs": 1.0, "params": 1.0, "size": 1.0}
    data = {
        "version": 1, "task": "own.py:Net", "metric": "top-1", "model_digest": digest or weights_digest(net()),
        "policy": {"0": choice}, "kept": {}, "weights": {"file": "w.safetensors", "sha256": "0"},
        "device": Device.local().model_dump(mode="json"), "budgets": [], "figures": figures, "original": figures,
        "agent": "tpe", "seed": 0, "evaluations": 1, "created_at": "2026-01-01", "versions": {},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(data))
    return str(path)


def test_a_network_is_predicted_as_it_is_and_by_a_recipe(run: Command, own: LatencyTable) -> None:
    whole = json.loads(run("query", "--model", "own.py:Net", "--json").output)
    assert whole["macs"] == 6 * 16 + 16 * 2
    assert whole["params"] == 6 * 16 + 16 + 16 * 2 + 2
    assert whole["size"] == 4 * whole["params"]
    # linear+relu 6,16; linear 16,2; and the run
    assert whole["latency"]["us"] == 22 + 18 + 3
    assert whole["latency"]["shares"] == {"measured": 1.0}
    assert "breakdown" not in whole
    path = recipe(Path("narrow.yaml"), channels=8)
    narrow = json.loads(run("query", "--model", "own.py:Net", "--policy", path, "--breakdown", "--json").output)
    assert narrow["macs"] == 6 * 8 + 8 * 2
    assert narrow["latency"]["us"] == 14 + 10 + 3 == 3 + sum(line["us"] for line in narrow["breakdown"])
    assert [line["signature"].split()[1] for line in narrow["breakdown"]] == ["6,8", "8,2"]
    shown = run("query", "--model", "own.py:Net", "--policy", path, "--breakdown").output
    assert "27.0 µs" in shown and "100.0% measured (2 operators)" in shown and "never validated" in shown


def test_the_configurations_device_and_options_say_for_what(run: Command, own: LatencyTable) -> None:
    Path("search.yaml").write_text("task: own.py:Net\nbudget: macs<=50%\ndevice: {threads: 2}")
    assert "no latency table yet for this device at 2 thread(s)" in run("query", "--model", "search.yaml").line
    assert run("query", "--model", "search.yaml", "--threads", "1").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("query",), "either for an operator"),
        (("query", "linear 6,16 n=1", "--model", "own.py:Net"), "either for an operator"),
        (("query", "linear 6,16 n=1", "--breakdown"), "are about a network"),
        (("query", "linear 6,999 n=1"), "no entry for 'linear 6,999 n=1' and none around it"),
        (("query", "roll 3 n=1"), "no entry for 'roll 3 n=1'"),
        (("query", "gibberish"), "is no operator signature"),
        (("query", "linear 6,16 n=1", "--device", "locl"), "unknown device 'locl'"),
        (("query", "--model", "digts"), "unknown task 'digts'.*digits"),
        (("query", "--model", "own.py:Net", "--policy", "none.yaml"), "none.yaml: no such file"),
        (("query", "--model", "own.py:Net", "--threads", "2"), "no latency table yet .* at 2 thread"),
        (("compare", "none.yaml", "none.yaml"), "none.yaml: no such file"),
        (("export", "table.txt"), "exported as .csv"),
        (("import", "table.bin"), "known are HAQ's arrays"),
        (("import", "none.yaml"), "none.yaml: no such file"),
        (("import", "none.npy"), "neither of which network .* --model TASK --unit UNIT"),
    ],
)
def test_a_question_that_has_no_answer_is_one_line(
    refused: Callable[..., str], own: LatencyTable, arguments: tuple[str, ...], message: str
) -> None:
    assert re.search(message, refused(*arguments))


def test_a_recipe_of_another_model_or_device_is_refused(refused: Callable[..., str], own: LatencyTable) -> None:
    asked = ("query", "--model", "own.py:Net", "--policy")
    assert "made for another model" in refused(*asked, recipe(Path("a.yaml"), "0" * 64, channels=8))
    assert "channels=99 for 0" in refused(*asked, recipe(Path("b.yaml"), channels=99))
    few = recipe(Path("c.yaml"), weight_bits=4, activation_bits=4)
    assert "cpu does not run 4/4 bits" in refused(*asked, few)


def test_show_tells_all_that_a_table_knows_of_itself(run: Command, table: LatencyTable) -> None:
    shares: dict[str, Any] = dict.fromkeys(("median", "within5", "within10", "spearman", "bias", "repeatability"), 0.01)
    done = Validation(
        subject="resnet", space="width", policies=40, seed=0, measured_at="2026-01-02", rmspe=0.034, **shares
    )
    save_table(replace(table, validations=(done,)), Path("table.yaml"))
    shown = json.loads(run("show", "--table", "table.yaml", "--json").output)
    assert shown["device"] == table.device.model_dump(mode="json")
    assert (shown["method"], shown["measured_at"]) == ("by hand", table.measured_at)
    assert shown["validations"] == [done.model_dump(mode="json")]
    assert shown["runs"] == {"operators": len(table.entries), "least": 60, "median": 60, "most": 60}
    said = run("show", "--table", "table.yaml").output
    for words in (
        table.device.processor,
        table.device.runtime,
        *table.device.instructions,
        "by hand",
        "3.4%",
        "60 to 60",
    ):
        assert words in said
    save_table(table, Path("table.yaml"))
    assert "this table was never validated" in run("show", "--table", "table.yaml").output


def test_two_tables_are_compared_operator_by_operator(run: Command, table: LatencyTable) -> None:
    lines = sorted(table.entries)
    other = {s: replace(e, us=2 * e.us) for s, e in table.entries.items()}
    odd, gone, new = lines[0], lines[1], Signature.parse("roll 3 n=1")
    other[odd] = replace(other[odd], us=100 * other[odd].us)
    del other[gone]
    other[new] = Entry(1.0, 1.0, 1.0, 1)
    slower = replace(table, device=table.device.model_copy(update={"threads": 3}), entries=other)
    found = compare(table, slower)
    assert found.ratios.median == 2.0 and found.ratios.quantiles[-1] == 200.0
    assert (found.largest[0].signature, found.only_first, found.only_second) == (odd, (gone,), (new,))
    assert sum(ratios.operators for ratios in found.by_kind.values()) == found.ratios.operators == len(lines) - 1
    assert set(found.by_kind) == {s.op for s in lines if s != gone}
    for name, one in (("a.yaml", table), ("b.yaml", slower)):
        save_table(one, Path(name))
    done = run("compare", "a.yaml", "b.yaml", "--most", "1")
    assert done.code == 0 and "another device: threads is 3, here 1" in done.output and str(odd) in done.output
    data = json.loads(run("compare", "a.yaml", "b.yaml", "--most", "1", "--json").output)
    assert dict(zip(data["quantiles"], data["ratios"]["quantiles"], strict=True))[0.5] == 2.0
    assert [one["operator"] for one in data["largest"]] == [str(odd)]
    assert (data["only_first"], data["only_second"]) == ([str(gone)], [str(new)])


def test_tables_with_nothing_in_common_are_compared_too(run: Command, table: LatencyTable) -> None:
    empty = replace(table, entries={Signature.parse("roll 3 n=1"): Entry(0.0, 0.0, 0.0, 1)})
    save_table(table, Path("a.yaml"))
    save_table(empty, Path("b.yaml"))
    assert "no operator is in both" in run("compare", "a.yaml", "b.yaml").output
    assert compare(table, empty).ratios.median is None
    assert compare(empty, empty).ratios.quantiles == ()  # nothing above zero
    assert run("compare", "b.yaml", "b.yaml").code == 0
    assert len(compare(table, table).ratios.quantiles) == len(QUANTILES)


def test_a_table_is_exported(run: Command, own: LatencyTable) -> None:
    assert run("export", "table.csv").code == 0
    assert len(Path("table.csv").read_text().splitlines()) == 1 + len(own.entries)


def test_an_array_is_imported_and_says_so_wherever_it_answers(run: Command, refused: Callable[..., str]) -> None:
    np.save("net.npy", np.arange(2 * 8 * 8).reshape(2, 8, 8))
    done = run("import", "net.npy", "--model", "own.py:Net", "--unit", "us", "--batch", "4")
    assert done.code == 0 and "net.npy (HAQ array, SHA-256" in done.output
    answer = json.loads(run("query", "w4a6.linear 16,2 n=4", "--table", "net.table.yaml", "--json").output)
    assert (answer["us"], answer["how"]) == (64 + 3 * 8 + 5, "imported")
    assert "net.npy" in answer["imported"]
    assert "not measured by AutoMC" in run("query", "int8.linear 6,16 n=4", "--table", "net.table.yaml").output
    assert "imported latency table 'net' has no entry" in refused("query", "relu 16 n=4", "--table", "net.table.yaml")
    shown = run("show", "--table", "net.table.yaml").output
    assert re.search(r"imported +20\d\d-", shown) and "imported from net.npy" in shown
    assert "an array for 2 layers" not in shown
    np.save("net.npy", np.ones((3, 8, 8)))
    assert "an array for 3 layers; the network has 2" in refused(
        "import", "net.npy", "--model", "own.py:Net", "--unit", "ms"
    )


def test_blocks_are_imported_and_never_predict_a_network(run: Command) -> None:
    key = "expanded_conv-input:7x7x192-output:7x7x320-expand:6-kernel:3-stride:1-idskip:0"
    Path("pixel.yaml").write_text(yaml.safe_dump({key: {"mean": 7.944, "var": 0.454, "count": 150}}))
    assert run("import", "pixel.yaml", "--out", "phone.yaml").code == 0
    line = "mbconv 192,320 expand=6 hw=7x7 idskip=0 k=3x3 n=1 out=7x7 s=1x1"
    assert json.loads(run("query", line, "--table", "phone.yaml", "--json").output)["us"] == 7944.0
    network = ("query", "--model", "own.py:Net", "--table", "phone.yaml")
    assert "measured on another device" in run(*network).line
    forced = run(*network, "--force")
    assert forced.code == 2 and "2 of the network's 2 operators are not known" in forced.line
