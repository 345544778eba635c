"""A whole search, from its configuration to files that stand alone."""

import html
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from automc.campaigns import SearchConfig, SearchResult, run_search
from automc.campaigns.journal import FILE
from automc.campaigns.sensing import COPY
from automc.campaigns.units_file import FILE as UNITS
from automc.costs import Budget
from automc.evaluation import Fidelity
from automc.recipes import apply_recipe, load_recipe
from automc.search_spaces import SpaceConfig
from automc.tasks import example
from tests.trained import Blobs

HERE = Path(__file__).parent
EXPORTED = {"model.onnx", "model.pt2", "model.safetensors", "original.onnx"}
KEPT = {FILE, COPY, UNITS}  # what a search goes on with
FILES = {*EXPORTED, *KEPT, "recipe.yaml", "report.html", "result.json"}
CONFIG = SearchConfig(
    task="trained.py:Blobs",
    budget=("latency<=70%", "macs<=60%"),
    evaluations=6,
    finalists=2,
    space=SpaceConfig(channel_multiple=4),
    fidelity=Fidelity(calibration_images=64),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    out = tmp_path_factory.mktemp("search") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(out.parent / "home"))
        return run_search(CONFIG, HERE, out), out


def test_everything_is_written_and_nothing_else(found: tuple[SearchResult, Path]) -> None:
    result, out = found
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == FILES
    assert SearchResult.model_validate_json((out / "result.json").read_text()) == result
    assert html.escape(result.verdict, quote=False)[:40] in (out / "report.html").read_text()


def test_controls_run_beside_the_agent_with_as_many_evaluations(found: tuple[SearchResult, Path]) -> None:
    asked = [done.agent for done in found[0].evaluations if not done.extra]
    assert {agent: asked.count(agent) for agent in asked} == {"uniform": 1, "random": 6, "auto": 6}
    assert [row.name for row in found[0].rows] == ["original", "uniform", "random", "best"]


def test_every_policy_keeps_the_budgets_as_predicted(found: tuple[SearchResult, Path]) -> None:
    result, _ = found
    for done in result.evaluations:
        assert done.predicted.macs <= result.limits["macs"]
        assert done.predicted.latency is not None
        assert done.predicted.latency <= result.limits["latency"]


def test_the_best_keeps_its_latency_budget_as_measured(found: tuple[SearchResult, Path]) -> None:
    best = found[0].row("best")
    assert best.keeps_budget == (best.measured.ratio <= Budget.parse("latency<=70%").value)
    assert best.keeps_budget
    assert best.measured.low <= best.measured.us <= best.measured.high


def test_how_far_to_trust_the_table_is_said(found: tuple[SearchResult, Path]) -> None:
    said = "This table was never validated: automc latency validate."
    assert said in found[0].claims
    assert said in (found[1] / "report.html").read_text()


def test_recipe_rebuilds_the_model_that_was_exported(found: tuple[SearchResult, Path]) -> None:
    _, out = found
    task = Blobs()
    recipe = load_recipe(out / "recipe.yaml")
    model = apply_recipe(recipe, out / "recipe.yaml", task)
    inputs = example(task, 16, "test")
    assert isinstance(inputs, torch.Tensor)
    with torch.no_grad():
        logits = model(inputs)
        program = torch.export.load(out / "model.pt2").module()(inputs)
    (deployed,) = onnxruntime.InferenceSession(out / "model.onnx").run(None, {"input": inputs.numpy()})
    assert np.abs(logits.numpy() - deployed).max() < 1e-4
    assert (logits - program).abs().max() < 1e-4
    assert sum(p.numel() for p in model.parameters()) == recipe.figures.params


def test_what_comes_out_runs_without_automc(found: tuple[SearchResult, Path], tmp_path: Path) -> None:
    code = """
import sys
class Refuse:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "automc":
            raise ImportError("automc is not here")
sys.meta_path.insert(0, Refuse())
import numpy, onnxruntime, torch
inputs = numpy.zeros((5, 1, 12, 12), "float32")
(onnx,) = onnxruntime.InferenceSession("model.onnx").run(None, {"input": inputs})
exported = torch.export.load("model.pt2").module()(torch.from_numpy(inputs)).detach().numpy()
assert onnx.shape == (5, 4) and abs(onnx - exported).max() < 1e-4
"""
    for name in ("model.onnx", "model.pt2"):
        shutil.copy(found[1] / name, tmp_path)
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)


def test_exported_files_hold_no_path_of_this_machine(found: tuple[SearchResult, Path]) -> None:
    for name in ("model.onnx", "original.onnx"):
        content = (found[1] / name).read_bytes()
        assert str(Path.home()).encode() + b"/" not in content
        assert str(HERE.parent).encode() not in content


def test_the_same_seed_finds_the_same_policies_with_the_same_scores(
    found: tuple[SearchResult, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, out = found
    monkeypatch.setenv("AUTOMC_HOME", str(out.parent / "home"))
    again = run_search(CONFIG, HERE, tmp_path / "again")
    assert result.table is not None
    assert again.table is not None
    assert not result.table.reused
    assert again.table.reused

    def searched(one: SearchResult) -> list[tuple[str, str, float]]:
        return [(e.agent, json.dumps(e.policy.to_dict()), round(e.value, 6)) for e in one.evaluations if not e.extra]

    assert searched(again) == searched(result)


def test_a_model_with_named_inputs_goes_the_whole_way(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"task": "trained.py:Pairs", "budget": ("macs<=70%",), "evaluations": 2})
    result = run_search(config, HERE, tmp_path / "out")
    assert result.row("best").predicted.macs <= 0.7 * result.row("original").predicted.macs
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert [item.name for item in session.get_inputs()] == ["left", "right"]
    images = np.zeros((3, 1, 12, 12), dtype=np.float32)
    assert session.run(None, {"left": images, "right": images})[0].shape == (3, 4)


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("after", ["Probing", "Measuring", "Searching: auto", "Exporting"])
def test_an_interrupted_search_leaves_nothing_half_written(tmp_path: Path, kill: signal.Signals, after: str) -> None:
    (tmp_path / "search.yaml").write_text(
        f"task: {HERE / 'trained.py'}:Blobs\nbudget: latency<=70%\nevaluations: 8\nspace: {{channel_multiple: 4}}\n"
    )
    log = tmp_path / "log.txt"
    command = [sys.executable, "-c", "from automc.cli import main; main()", "search", "search.yaml", "--out", "out"]
    environment = os.environ | {"FORCE_COLOR": "1"}  # so that progress is shown although this is no terminal
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=tmp_path, stderr=errors, stdout=errors, env=environment, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while after not in log.read_text() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None, f"ended before it said {after}: {log.read_text()[-2000:]}"
        if kill == signal.SIGINT:
            os.killpg(process.pid, kill)  # as a terminal does
        else:
            process.kill()
        code = process.wait(60)
    out = tmp_path / "out"
    left = [path for path in out.rglob("*") if path.is_file()] if out.exists() else []
    left = [path for path in left if not any(name in path.name for name in KEPT)]
    assert not FILES & {path.name for path in left if path.parent == out}
    if kill == signal.SIGINT:
        assert code == 130
        assert not left
        assert "automc: interrupted; nothing was written that is not whole\n" in log.read_text()
        assert "Traceback" not in log.read_text()
