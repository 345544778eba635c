"""A recipe is applied to the model that it was made for, and refused in one line otherwise."""

import math
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
import yaml
from torch import Tensor, nn

from automc.campaigns import SearchConfig, run_search
from automc.cli import main
from automc.errors import RecipeError
from automc.evaluation import Fidelity
from automc.recipes import apply_recipe, export_onnx, load_recipe, task_of, verify
from automc.search_spaces import SpaceConfig
from tests.trained import Blobs

HERE = Path(__file__).parent
TASK = f"{HERE / 'trained.py'}:Named"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished search."""
    out = tmp_path_factory.mktemp("recipe") / "out"
    (out.parent / "seed.txt").write_text("0")
    config = SearchConfig(
        task=TASK,
        task_args={"file": "seed.txt"},
        budget=("macs<=50%",),
        evaluations=2,
        finalists=1,
        space=SpaceConfig(channel_multiple=4),
        agent="random",
        fidelity=Fidelity(precision="float32"),  # in which a recipe is scored anew
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(out.parent / "home"))
        run_search(config, out.parent, out)
    return out


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


@pytest.fixture
def automc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["automc", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def edit(path: Path, **changes: object) -> Path:
    """Changes top-level keys of a recipe."""
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 99}, "version 99 is newer than this AutoMC reads"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"kept": {"nobody": [0]}}, "kept: 'nobody' does not fit this model"),
        ({"kept": {"conv1": [0, 99]}}, "kept: 'conv1' does not fit this model"),
        ({"policy": {"layer9.0": {"keep": False}}}, "the model has no block 'layer9.0'"),
        (
            {"policy": {"layer9.0": {"weight_bits": 8, "activation_bits": 8}}},
            "policy: the model has no unit 'layer9.0'",
        ),
        ({"policy": {"bn1": {"weight_bits": 8, "activation_bits": 8}}, "kept": {}}, "layer 'bn1' cannot run in int8"),
        ({"policy": {"bn1": {"weight_bits": 8, "activation_bits": 32}}, "kept": {}}, "layer 'bn1' cannot be simulated"),
        ({"policy": {"conv1": {"weight_bits": 1}}}, "policy: .*known are 2 to 8"),
        ({"policy": {}, "kept": {"conv1": [0, 1, 2, 3]}}, "'conv1' is to keep all channels, but by 'kept' it keeps 4"),
        ({"policy": {"conv1": {"channels": 3}}, "kept": {"conv1": [0, 1, 1]}}, "3 channels, but by 'kept' it keeps 2"),
        ({"policy": {"bn1": {"channels": 3}}, "kept": {}}, "policy: 'bn1' has no channels"),
        ({"budgets": ["foo"]}, "budgets: budget 'foo' is not of the form"),
        ({"figures": {"macs": math.nan, "params": 1, "size": 1}}, "figures.macs: .*finite number"),
        ({"policy": {"conv1": {"channels": "many"}}}, "channels must be a whole number"),
        ({"policy": {"conv1": {"colour": 3}}}, "policy: no policy"),
        ({"model_digest": "0" * 64}, "made for another model"),
        ({"weights": {"file": "../model.safetensors", "sha256": "0"}}, "must be a file name beside the recipe"),
        ({"weights": {"file": "none.safetensors", "sha256": "0"}}, "weights are missing"),
        ({"weights": {"file": "model.safetensors", "sha256": "0"}}, "SHA-256 differs"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    path = edit(folder / "recipe.yaml", **changes)
    with pytest.raises(RecipeError, match=message) as refused:
        apply_recipe(load_recipe(path), path, Blobs())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "task: [", "42", "\x00\x01"])
def test_a_damaged_recipe_is_refused(folder: Path, text: str) -> None:
    (folder / "recipe.yaml").write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(folder / "recipe.yaml")


def test_a_recipe_for_another_model_is_refused(made: Path) -> None:
    path = made / "recipe.yaml"
    with pytest.raises(RecipeError, match="made for another model"):
        apply_recipe(load_recipe(path), path, Blobs(seed=1))


def test_a_recipe_never_runs_the_file_that_it_names(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    path = edit(folder / "recipe.yaml", task=f"{trap}:Task")
    with pytest.raises(RecipeError, match=r"never runs a file that it names.*--task"):
        task_of(load_recipe(path))
    assert not (tmp_path / "sprung").exists()


def test_a_recipe_finds_its_tasks_files_from_anywhere(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(made / "recipe.yaml")
    assert recipe.task_args == {"file": str(made.parent / "seed.txt")}
    apply_recipe(recipe, made / "recipe.yaml", task_of(recipe, TASK))


def test_show_apply_export_and_verify(folder: Path, automc: Callable[..., tuple[int, str, str]]) -> None:
    recipe = folder / "recipe.yaml"
    assert automc("recipe", "show", recipe)[0] == 0
    code, output, _ = automc("recipe", "apply", recipe, "--task", TASK, "--json")
    answer = yaml.safe_load(output)
    assert code == 0
    assert answer["search_score"] == pytest.approx(answer["recorded_search_score"])
    for format, name in (("onnx", "new.onnx"), ("torch", "new.pt2")):
        assert automc("recipe", "export", recipe, "--task", TASK, "--format", format, "--out", folder / name)[0] == 0
        trust = ["--trust"] if name.endswith(".pt2") else []
        code, output, errors = automc("recipe", "verify", recipe, folder / name, "--task", TASK, "--json", *trust)
        assert code == 0, errors
        answer = yaml.safe_load(output)
        assert answer["passed"]
        assert answer["difference"] < 1e-4
        assert (answer["same_device"] == "yes") == (format == "onnx")


def test_commands_that_need_the_task_ask_for_it(made: Path, automc: Callable[..., tuple[int, str, str]]) -> None:
    for command in ("apply", "export", "verify"):
        code, output, errors = automc("recipe", command, made / "recipe.yaml")
        assert (code, output) == (2, "")
        assert re.search("--task", errors.splitlines()[-1])


def test_a_file_that_could_run_code_is_not_loaded_unasked(
    made: Path, automc: Callable[..., tuple[int, str, str]]
) -> None:
    code, output, errors = automc("recipe", "verify", made / "recipe.yaml", made / "model.pt2", "--task", TASK)
    assert (code, output) == (2, "")
    assert "--trust" in errors.splitlines()[-1]


def test_verify_finds_a_file_that_is_not_what_the_recipe_says(
    folder: Path, automc: Callable[..., tuple[int, str, str]]
) -> None:
    file = folder / "model.onnx"
    model = onnx.load(file)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "linear.weight")
    weights.raw_data = bytes(len(weights.raw_data))
    onnx.save(model, file)
    assert automc("recipe", "verify", folder / "recipe.yaml", "--task", TASK)[0] == 3
    result = verify(
        load_recipe(folder / "recipe.yaml"),
        file,
        Blobs(),
        apply_recipe(load_recipe(folder / "recipe.yaml"), folder / "recipe.yaml", Blobs()),
    )
    assert not result.outputs_agree
    assert not result.passed


def test_verify_takes_outputs_that_are_no_numbers_for_a_difference(folder: Path) -> None:
    path, file = folder / "recipe.yaml", folder / "model.onnx"
    model = onnx.load(file)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "linear.weight")
    weights.raw_data = b"\xff" * len(weights.raw_data)
    onnx.save(model, file)
    recipe = load_recipe(path)
    assert not verify(recipe, file, Blobs(), apply_recipe(recipe, path, Blobs())).outputs_agree


def test_verify_of_a_broken_file_is_one_line(folder: Path, automc: Callable[..., tuple[int, str, str]]) -> None:
    (folder / "model.onnx").write_bytes(b"not a model")
    code, _, errors = automc("recipe", "verify", folder / "recipe.yaml", "--task", TASK)
    assert code == 2
    assert "model.onnx" in errors.splitlines()[-1]
    (folder / "model.onnx").unlink()
    code, _, errors = automc("recipe", "verify", folder / "recipe.yaml", "--task", TASK)
    assert code == 2
    assert "no such file" in errors.splitlines()[-1]


class Viewed(nn.Module):
    """Asks for the length of its batch, which an exporter takes for a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.view(len(x), 8))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_model_that_fixes_its_batch_is_exported_for_that_of_the_inputs(batch: int, tmp_path: Path) -> None:
    export_onnx(Viewed(), torch.zeros(batch, 2, 4), tmp_path / "m.onnx")
    (read,) = onnx.load(tmp_path / "m.onnx").graph.input
    assert [size.dim_value for size in read.type.tensor_type.shape.dim] == [batch, 2, 4]
    export_onnx(nn.Linear(4, 3), torch.zeros(batch, 2, 4), tmp_path / "m.onnx")
    (read,) = onnx.load(tmp_path / "m.onnx").graph.input
    assert read.type.tensor_type.shape.dim[0].dim_param
