"""The main job on a text classifier with named inputs: docs/examples/bert.py, from its search to a verified file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from automc.campaigns import SearchConfig, SearchResult, load_config, run_search
from automc.cli import main
from automc.evaluation import Fidelity
from automc.graph import build_graph
from automc.recipes import apply_recipe, load_recipe
from automc.recipes.deployed import feeds
from automc.tasks import Task, call, example, load_task
from automc.tasks.loops import score

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
TASK = f"{EXAMPLES / 'bert.py'}:Recall"
Found = tuple[SearchResult, Path]


@pytest.fixture(scope="module")
def task(session_home: Path) -> Task:
    """The example's task, its network trained: ``model()`` only loads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(session_home))
        task = load_task(TASK)
        task.model()
    return task


@pytest.fixture(scope="module")
def config() -> SearchConfig:
    changes = {"evaluations": 2, "finalists": 1, "fidelity": Fidelity(search_images=256, precision="float32")}
    return load_config(EXAMPLES / "bert.yaml").model_copy(update=changes)


@pytest.fixture(scope="module")
def found(task: Task, config: SearchConfig, session_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    out = tmp_path_factory.mktemp("text") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(session_home))
        return run_search(config, EXAMPLES, out), out


@pytest.fixture
def recipe(found: Found, monkeypatch: pytest.MonkeyPatch, session_home: Path) -> Callable[..., int]:
    """Runs a recipe command on what was found, as somebody who trusts the task's file; returns its exit code."""
    monkeypatch.setenv("AUTOMC_HOME", str(session_home))

    def call(command: str, *arguments: str) -> int:
        path = str(found[1] / "recipe.yaml")
        monkeypatch.setattr(sys, "argv", ["automc", "recipe", command, path, *arguments, "--task", TASK])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return call


def test_the_network_needs_attention_for_what_it_does(task: Task) -> None:
    assert score(task.model(), task, "test") > 0.95
    inputs = example(task, 64, "test")
    assert isinstance(inputs, dict)
    with torch.no_grad():
        alone = task.model()(inputs["input_ids"][:, :1], inputs["attention_mask"][:, :1])
        asked = task.model()(**inputs)
    assert (alone.argmax(1) == asked.argmax(1)).double().mean() < 0.6


def test_what_can_be_cut_is_found(task: Task) -> None:
    names = {group.name for group in build_graph(task.model(), example(task)).prunable}
    assert {f"bert.bert.encoder.layer.{layer}.intermediate.dense" for layer in range(2)} <= names


def test_the_search_keeps_its_budget(found: Found) -> None:
    best, original = found[0].row("best"), found[0].row("original")
    assert best.predicted.macs <= 0.6 * original.predicted.macs
    assert best.test_score is not None
    assert best.test_score > 0.8


def test_the_deployed_file_takes_the_dict_and_heeds_the_mask(found: Found, task: Task) -> None:
    out = found[1]
    session = onnxruntime.InferenceSession(out / "model.onnx")
    assert {item.name: item.type for item in session.get_inputs()} == {
        "input_ids": "tensor(int64)",
        "attention_mask": "tensor(int64)",
    }
    # a batch of another size than the one it was exported with, with sentences of all lengths
    inputs = example(task, 48, "test")
    assert isinstance(inputs, dict)
    model = apply_recipe(load_recipe(out / "recipe.yaml"), out / "recipe.yaml", task)
    with torch.no_grad():
        want = call(model, inputs).numpy()
    (got,) = session.run(None, feeds(inputs))
    assert np.abs(got - want).max() <= 1e-3 * max(1, np.abs(want).max())
    hidden = inputs["attention_mask"] == 0
    assert hidden.any()
    other = {**inputs, "input_ids": torch.where(hidden, 0, inputs["input_ids"])}
    (same,) = session.run(None, feeds(other))
    assert np.abs(same - got).max() <= 1e-4
    seen = {**inputs, "attention_mask": torch.ones_like(inputs["attention_mask"])}
    assert np.abs(session.run(None, feeds(seen))[0] - got).max() > 1e-2


def test_the_recipe_is_applied_exported_and_verified(
    recipe: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recipe("apply") == 0
    rebuilt, recorded = (line.split(": ")[1] for line in capsys.readouterr().out.splitlines())
    assert rebuilt.split()[0] == recorded.split()[0]
    file = tmp_path / "again.onnx"
    assert recipe("export", "--out", str(file)) == 0
    assert recipe("verify", str(file)) == 0
