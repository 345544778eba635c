"""A table of another device is used only where that is forced, and everything that rests on it says so."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from automc import files
from automc.campaigns import SearchConfig, SearchResult, render_html, render_table, run_search
from automc.costs import CostModel
from automc.devices import Device, LocalBench
from automc.errors import ConfigError, TableError
from automc.evaluation import Fidelity
from automc.graph import build_graph
from automc.latency_tables import Entry, LatencyTable, Overhead, Signature, ensure_table, save_table, table_path
from automc.recipes import load_recipe
from automc.search_spaces import SpaceConfig, build_space
from automc.tasks import example
from tests.commands import Command, run_command
from tests.results import make_result
from tests.trained import Blobs

HERE = Path(__file__).parent
SPACE = SpaceConfig(channel_multiple=8, depth=False)
OTHER = {"runtime": "onnxruntime 0.1"}


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    """A made-up table of the test task's network, of a device like this one but for its runtime."""
    task = Blobs()
    graph = build_graph(task.model(), example(task))
    signatures = CostModel(graph, build_space(graph, SPACE, 8)).all_signatures(most=10**9)
    entries = {s: Entry(us, us, us, 60) for s in signatures for us in [1.0 + sum(s.channels)]}
    return LatencyTable(Device.local().model_copy(update=OTHER), Overhead(1.0, 0.0), entries, method="by hand")


def config(path: Path, **changes: object) -> SearchConfig:
    about = {
        "task": "trained.py:Blobs", "budget": "latency<=80%", "evaluations": 2, "finalists": 1, "agent": "random",
        "space": SPACE, "fidelity": Fidelity(calibration_images=32), "latency_table": path,
    }  # fmt: skip
    return SearchConfig.model_validate(about | changes)


def test_a_search_refuses_it_unless_forced_and_marks_all_that_it_writes(
    table: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_table(table, tmp_path / "other.yaml")
    with pytest.raises(TableError, match=r"another device \(runtime is 'onnxruntime 0.1', here .*force_table: true"):
        run_search(config(tmp_path / "other.yaml"), HERE, tmp_path / "out")
    out = tmp_path / "forced"
    result = run_search(config(tmp_path / "other.yaml", force_table=True), HERE, out)
    assert result.table is not None
    difference = result.table.forced
    assert difference is not None and difference.startswith("runtime is 'onnxruntime 0.1', here 'onnxruntime")
    assert json.loads((out / "result.json").read_text())["table"]["forced"] == difference
    assert load_recipe(out / "recipe.yaml").forced_table == difference
    assert f"forced_table: {difference}" in (out / "recipe.yaml").read_text().replace('"', "")
    page = re.sub(r"&#39;", "'", (out / "report.html").read_text())
    assert page.count(difference) == 2  # beside the verdict, and where the table is described
    assert difference in str(render_table(result).caption)
    shown = run_command(("recipe", "show", str(out / "recipe.yaml")), monkeypatch, capsys)
    assert "that of another device, whose table was forced: runtime is" in shown.output


def test_forcing_a_table_of_this_device_changes_nothing() -> None:
    result = make_result(evaluations=2)
    assert result.forced is None
    assert "whose table was forced" not in render_html(result)
    assert "forced" not in str(render_table(result).caption)


def test_the_users_own_table_is_never_forced(table: LatencyTable) -> None:
    with pytest.raises(ConfigError, match="force_table: names no table by itself"):
        files.parse({"task": "digits", "budget": "macs<=50%", "force_table": True}, SearchConfig, ConfigError, "c")
    bench = LocalBench()
    save_table(table, table_path(bench.device))
    with pytest.raises(TableError, match=r"runtime is .*delete it and it will be measured anew"):
        ensure_table(bench, [Signature.parse("linear 8,8 n=1")])


def test_results_from_before_are_still_read() -> None:
    plain = json.loads(make_result(evaluations=2).model_dump_json())
    del plain["table"]["forced"]
    assert SearchResult.model_validate(plain).forced is None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_command(arguments, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (OTHER, "runtime is 'onnxruntime 0.1'"),
        ({"threads": 3}, "threads is 3, here 1"),
        ({"batch": 7}, "batch is 7, here 1"),
        ({"processor": "abacus"}, "processor is 'abacus'"),
    ],
)
def test_a_query_for_this_machine_refuses_it_unless_forced(
    run: Command, table: LatencyTable, changes: dict[str, object], difference: str
) -> None:
    save_table(replace(table, device=Device.local().model_copy(update=changes)), Path("other.yaml"))
    line = str(next(iter(table.entries)))
    asked = ("latency", "query", line, "--table", "other.yaml", "--device", "local")
    refused = run(*asked)
    assert refused.code == 2 and difference in refused.line and "--force" in refused.line
    forced = run(*asked, "--force")
    assert forced.code == 0 and f"table of another device, forced: {difference}" in forced.output
    assert difference in json.loads(run(*asked, "--force", "--json").output)["forced"]


def test_a_prediction_of_a_network_refuses_it_unless_forced(run: Command, table: LatencyTable) -> None:
    save_table(table, Path("other.yaml"))
    network = ("latency", "query", "--model", f"{HERE}/trained.py:Blobs", "--table", "other.yaml")
    refused = run(*network)
    assert refused.code == 2 and "runtime is 'onnxruntime 0.1'" in refused.line
    assert "runtime is 'onnxruntime 0.1'" in json.loads(run(*network, "--force", "--json").output)["forced"]
    assert "table of another device, forced" in run(*network, "--force").output
