"""Models and data that are not as usual: the job is done, or refused in one line that names place and reason."""

from __future__ import annotations

import math
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from automc.cli import main
from tests.commands import Command, Done, run_command

TASKS = Path(__file__).parent / "odd_models.py"
SEARCH = """
task: {task}
budget: params<=90%
agent: uniform
evaluations: 1
finalists: 1
space: {{depth: false, channel_multiple: 4}}
fidelity: {{precision: float32}}
"""


@pytest.fixture
def run(
    tmp_path: Path, session_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command in a folder of its own and returns its exit code and what it printed."""

    def call(*arguments: str) -> Done:
        monkeypatch.setenv("AUTOMC_HOME", str(session_home))  # one latency table for all
        monkeypatch.chdir(tmp_path)
        return run_command(arguments, monkeypatch, capsys)

    return call


@pytest.fixture
def search(run: Command, tmp_path: Path) -> Callable[[str], Done]:
    """Runs a small search on one of the tasks."""

    def call(task: str) -> Done:
        (tmp_path / "search.yaml").write_text(SEARCH.format(task=f"{TASKS}:{task}"))
        return run("search", "search.yaml", "--out", "out")

    return call


slow = pytest.mark.slow


@pytest.mark.parametrize(
    "task",
    [
        "Twice",
        "FewImages",
        pytest.param("NoNorm", marks=slow),
        pytest.param("Unused", marks=slow),
        pytest.param("ConstantImages", marks=slow),
        pytest.param("InTraining", marks=slow),
        pytest.param("Alias", marks=slow),
        pytest.param("Batchwise", marks=slow),
        pytest.param("Compiled", marks=slow),
        pytest.param("Recurrent", marks=slow),
        pytest.param("Length", marks=slow),
    ],
)
def test_the_whole_job_is_done(task: str, search: Callable[[str], Done], run: Command) -> None:
    done = search(task)
    assert done.code == 0, done.errors
    verified = run("recipe", "verify", "out/recipe.yaml", "--task", f"{TASKS}:{task}")
    assert verified.code == 0, verified.output


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("Float64", r"parameter '0\.weight' \(Linear\) is in float64; .*float32"),
        ("Bfloat16", r"parameter '0\.weight' \(Linear\) is in bfloat16"),
        ("Float16", r"parameter '0\.weight' \(Linear\) is in float16"),
        ("MixedTypes", r"parameter '0\.weight' \(Linear\) is in float64"),
        ("Elsewhere", r"parameter '0\.weight' \(Linear\) is on meta; return the model on the CPU"),
        ("InputsElsewhere", "inputs are on meta; .* CPU"),
        ("NanWeight", r"parameter '2\.weight' \(Linear\) has values that are not finite"),
        ("InfiniteWeight", r"parameter '2\.weight' \(Linear\) has values that are not finite"),
        ("NanStatistics", r"buffer '1\.running_var' \(BatchNorm2d\) has values that are not finite"),
        ("NanActivations", r"outputs .* are not all finite; module 'body\.0' is the first"),
        ("HugeActivations", "outputs .* are not all finite; module '2' is the first"),
        ("NoImages", "split 'train' gives 0 examples"),
        ("ReturnsNothing", "the model returns no tensor"),
        ("ReturnsClasses", "returns whole numbers only; let it return logits"),
        ("NoModule", "the task's model is a dict; .* torch.nn.Module"),
        ("Lazy", r"parameter '0\.weight' \(LazyLinear\) has no shape yet"),
        ("Scripted", "compiled by torch.jit"),
        ("FixedBatch", r"does not run on its task's inputs: .*shape '\[16, 8\]' is invalid"),
    ],
)
def test_a_model_that_nothing_can_be_done_with_is_refused_at_first_sight(task: str, message: str, run: Command) -> None:
    done = run("inspect", f"{TASKS}:{task}")
    assert (done.code, done.output) == (2, ""), done
    assert len(done.errors.splitlines()) == 1
    assert re.search(message, done.line), done.line


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("Lengths", r"examples of 'train' have shapes \[\[3, 10\]\] and \[\[3, 12\]\]; .* pad them"),
        ("ReturnsDict", "returns a dict, the default score takes logits: wrap the model"),
        ("ReturnsTuple", "returns a tuple, the default score takes logits"),
        ("NoSearchImages", "the task's split 'search' gives 0 examples"),
        ("Tied", r"nothing to compress \(.*2: .*zeroing them: outputs differ"),
        ("Random", r"nothing to compress \(.*2: .*zeroing them: outputs differ"),
        ("WeightNorm", r"nothing to compress \(.*2: the network does not run without some of its channels"),
        pytest.param("Branching", "cannot be exported to ONNX: .*data-dependent", marks=slow),
        ("NoTestImages", "the task's split 'test' gives 0 examples"),
    ],
)
def test_a_search_that_cannot_end_well_is_refused(
    task: str, message: str, search: Callable[[str], Done], tmp_path: Path
) -> None:
    done = search(task)
    assert (done.code, done.output) == (2, ""), done
    assert re.search(message, done.line), done.line
    assert not (tmp_path / "out" / "recipe.yaml").exists()


@pytest.fixture(scope="module")
def recipe(session_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "search.yaml").write_text(SEARCH.format(task=f"{TASKS}:Images"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(session_home))
        patch.setattr(sys, "argv", ["automc", "search", str(folder / "search.yaml"), "--out", str(folder / "out")])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return folder / "out"


UNIT, RELU = "0.0", "0.1"  # of Images: the first of two convolutions, and what is behind it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": {UNIT: {"weight_bits": 0}}}, "policy: .*bits must be 1 to 8, or 32 for float, not 0"),
        ({"policy": {UNIT: {"weight_bits": "8"}}}, "policy: .*bits must be 1 to 8, or 32 for float, not '8'"),
        ({"policy": {UNIT: {"channels": 0}}}, "policy: .*channels must be a whole number above 0, not 0"),
        ({"policy": {UNIT: {"channels": 0.5}}}, "policy: .*channels must be a whole number above 0, not 0.5"),
        ({"policy": {UNIT: {"chanels": 4}}}, "policy: .*unexpected keyword argument 'chanels'"),
        ({"policy": {UNIT: {"keep": "no"}}}, "policy: .*keep must be true or false, not 'no'"),
        ({"policy": {"7.x": {"keep": False}}}, "the model has no block '7.x'"),
        ({"policy": {RELU: {"weight_bits": 8, "activation_bits": 8}}}, f"layer '{RELU}' cannot run in int8"),
        ({"policy": {"0": {"keep": False}}}, "weights do not fit the model"),
        ({"kept": {UNIT: [0, 1, 99]}}, f"kept: '{UNIT}' does not fit this model"),
        ({"kept": {UNIT: [-1, 1]}}, f"kept: '{UNIT}' does not fit this model"),
        ({"kept": {UNIT: []}}, f"kept: '{UNIT}' does not fit this model"),
        ({"kept": {UNIT: [0.5]}}, "kept.*valid integer"),
        ({"kept": {UNIT: [0, 1]}}, f"policy: '{UNIT}' is to keep .* channels, but by 'kept' it keeps 2"),
        ({"kept": {"nobody": [0, 1]}}, "kept: 'nobody' does not fit this model"),
        ({"device": {"batch": 0}}, "device.batch: .*greater than or equal to 1"),
        ({"policy": {UNIT: {"channels": 1000}}}, f"policy: '{UNIT}' is to keep 1000 channels, but by 'kept' it keeps "),
        ({"policy": {"nobody": {"channels": 4}}}, "policy: the model has no unit 'nobody'"),
        ({"policy": {RELU: {"channels": 4}}}, f"policy: '{RELU}' has no channels"),
        ({"policy": {RELU: {"weight_bits": 8, "activation_bits": 32}}}, f"policy: layer '{RELU}' cannot be simulated"),
        ({"figures": {"search_score": math.nan}}, "figures.search_score: .*finite number"),
    ],
)
def test_a_recipe_out_of_range_is_refused(
    changes: dict[str, dict[str, Any]], message: str, recipe: Path, run: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(recipe, folder)
    data = yaml.safe_load((folder / "recipe.yaml").read_text())
    for key, values in changes.items():
        for name, value in values.items():
            data[key][name] = {**data[key].get(name, {}), **value} if isinstance(value, dict) else value
    (folder / "recipe.yaml").write_text(yaml.safe_dump(data))
    done = run("recipe", "apply", str(folder / "recipe.yaml"), "--task", f"{TASKS}:Images")
    assert (done.code, done.output) == (2, ""), done
    assert len(done.errors.splitlines()) == 1
    assert re.search(message, done.line), done.line
