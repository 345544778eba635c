"""What a user sees who types something wrong: one line that says what to do, exit code 2, nothing half-written."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Command, Done, run_command

OWN = """
import torch
from torch import nn
from automc.tasks import Task

class Base(Task):
    def batches(self, split, n=None, seed=0):
        data = torch.randn(8, 6, generator=torch.Generator().manual_seed(len(split)))
        yield data[:n], (data[:n].sum(1) > 0).long()

class Good(Base):
    def model(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)).eval()

class FloatOnly(Base):
    def model(self):
        return nn.Sequential(nn.Unflatten(1, (6, 1)), nn.Conv1d(6, 16, 1), nn.ReLU(), nn.Conv1d(16, 2, 1), nn.Flatten())

class NothingToCompress(Base):
    def model(self):
        return nn.Sequential(nn.Unflatten(1, (6, 1)), nn.Conv1d(6, 2, 1), nn.Flatten())

class DoesNotRun(Base):
    def model(self):
        return nn.Linear(7, 2)

class WeightsDoNotFit(Base):
    def model(self):
        model = nn.Linear(6, 2)
        model.load_state_dict({"weight": torch.zeros(3, 3)})
        return model
"""


Refusal = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in the folder and returns its exit code and what it printed."""

    def call(*arguments: str) -> Done:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        return run_command(arguments, monkeypatch, capsys)

    return call


@pytest.fixture
def refused(folder: Path, run: Command) -> Refusal:
    """Runs a command that must be refused, and returns the line that says why."""

    def files() -> set[Path]:
        return {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}

    def call(*arguments: str) -> str:
        before = files()
        done = run(*arguments)
        assert (done.code, done.output) == (2, ""), done
        assert files() == before
        return done.errors.strip().splitlines()[-1]

    return call


def config(folder: Path, text: str) -> str:
    (folder / "search.yaml").write_text(text)
    return "search.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: digit\nbudget: macs<=50%", "unknown task 'digit'.*did you mean 'digits'"),
        ("task: digits\nbudget: macs<=50%\nagent: tpee", "agent: unknown agent 'tpee'.*did you mean 'tpe'"),
        ("task: digits\nbudgett: macs<=50%", "unknown key 'budgett'.*did you mean 'budget'"),
        ("task: digits\nbudget: macs<=50%\nspace: {depht: true}", "unknown key 'space.depht'.*did you mean 'depth'"),
        ("task: digits\nbudget: macs<=50%\nspace: wdth", "space: unknown search space 'wdth'.*did you mean 'width'"),
        ("task: digits", "key 'budget' is missing"),
        ("task: digits\nbudget: macs=50%", "budget: budget 'macs=50%' is not of the form"),
        ("task: digits\nbudget: macs<=150%", "at most 100%"),
        ("task: digits\nbudget: latncy<=50%", "unknown metric 'latncy'.*did you mean 'latency'"),
        ("task: digits\nbudget: macs<=50%\nevaluations: 0", "evaluations: .*greater than or equal to 1"),
        ("task: [digits", "not valid YAML at line 1"),
        ("- task", "expected keys and values"),
        ("task: own.py:Nobody\nbudget: macs<=50%", "no class 'Nobody'"),
        ("task: own.py:NothingToCompress\nbudget: macs<=50%", "nothing to compress"),
        ("task: own.py:DoesNotRun\nbudget: macs<=50%", "does not run on its task's inputs"),
        ("task: own.py:WeightsDoNotFit\nbudget: macs<=50%", "model.*size mismatch"),
        ("task: own.py:Good\nbudget: macs<=1%", r"cannot be reached: the smallest macs in this space is .*\(50% of"),
        ("task: own.py:Good\nbudget: macs<=50%\nlatency_table: none.yaml", "latency_table: no file"),
        ("task: own.py:Good\nbudget: macs<=50%\nspace: {exclude: [nobody]}", "space.exclude: no unit 'nobody'"),
        (
            "task: own.py:Good\nbudget: macs<=50%\nspace: {bits: [8, 4]}",
            "space.bits: .* does not run 4 bits; it runs: 8",
        ),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(folder: Path, refused: Refusal, text: str, message: str) -> None:
    assert re.search(message, refused("search", config(folder, text), "--out", "out"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "none.yaml"), "none.yaml: no such file"),
        (("search",), "Missing argument"),
        (("serch",), "No such command 'serch'"),
        (("search", "--nope"), "No such option"),
        (("inspect", "own.py"), "unknown task 'own.py'"),
        (("latency", "query", "linear 64,10 n=1"), "no latency table yet.*automc latency measure"),
        (("latency", "show", "--table", "none.yaml"), "none.yaml: no such file"),
        (("recipe", "show", "none.yaml"), "none.yaml: no such file"),
        (("latency", "measure", "digits", "--networks", "2"), "too few to correct anything by; measure 3 or more"),
    ],
)
def test_a_wrong_command_is_refused(refused: Refusal, arguments: tuple[str, ...], message: str) -> None:
    assert re.search(message, refused(*arguments))


def test_a_folder_without_write_permission_is_refused_before_any_work(folder: Path, refused: Refusal) -> None:
    (folder / "file").write_text("in the way")
    line = refused("search", config(folder, "task: own.py:Good\nbudget: macs<=80%"), "--out", "file/out")
    assert "cannot write to file/out" in line


def test_help_and_version_need_no_heavy_import(folder: Path) -> None:
    code = "import sys; from automc.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'onnx', 'onnxruntime', 'optuna', 'scipy', 'plotly'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, "--help"], cwd=folder, capture_output=True, text=True)
    assert done.stdout.rstrip().endswith("[]")
    assert "search" in done.stdout


def test_lists_answer_as_json(run: Command) -> None:
    assert {"uniform", "random", "tpe"} <= set(json.loads(run("agents", "--json").output))
    assert set(json.loads(run("tasks", "--json").output)) == {"cifar10", "digits"}
    assert {"-error", "haq", "mnasnet"} <= set(json.loads(run("rewards", "--json").output))


def test_inspect_says_what_is_fixed_and_why(run: Command) -> None:
    answer = json.loads(run("inspect", "own.py:Good", "--json").output)
    units = {unit["unit"]: unit for unit in answer["units"]}
    assert units["0"]["options"] == [8, 16]
    assert "network's output" in units["2"]["fixed"]
    assert [units[name]["precisions"] for name in "02"] == [["int8", "float"]] * 2
    assert answer["macs"] == 6 * 16 + 16 * 2


def test_inspect_says_what_can_run_in_int8(folder: Path, run: Command) -> None:
    assert "2 of 2 layers that can run in int8 may be chosen to" in run("inspect", "own.py:Good").output
    assert "No layer can run in int8: that takes" in run("inspect", "own.py:FloatOnly").output
    config(folder, "task: own.py:Good\nbudget: macs<=50%\nspace: width")
    done = run("inspect", "search.yaml")
    assert "2 layers can run in int8; this search space has no bits" in done.output
    assert "int8 float" not in done.output


def test_latency_is_measured_shown_and_queried(run: Command, refused: Refusal) -> None:
    measured = json.loads(run("latency", "measure", "own.py:Good", "--json").output)
    shown = json.loads(run("latency", "show", "--json").output)
    assert shown["path"] == measured["path"]
    assert len(shown["operators"]) == measured["operators"] > 0
    line = next(iter(shown["operators"]))
    answer = json.loads(run("latency", "query", line, "--json").output)
    assert answer["us"] == shown["operators"][line]["us"]
    assert "none around it" in refused("latency", "query", "linear 999,999 n=1")
