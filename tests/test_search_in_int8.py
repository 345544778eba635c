"""A search that puts layers into int8, from its configuration to a recipe that makes the same network again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from automc.campaigns import SearchConfig, SearchResult, run_search
from automc.devices import Device
from automc.evaluation import Fidelity
from automc.recipes import apply_recipe, export_onnx, load_recipe, verify
from automc.recipes.deployed import deployed_outputs
from automc.search_spaces import SpaceConfig
from automc.tasks import example
from automc.tasks.loops import score
from tests.trained import Blobs

CONFIG = SearchConfig(
    task="trained.py:Blobs",
    budget=("size<=35%",),  # dropping all blocks leaves 42%
    evaluations=3,
    finalists=1,
    agent="random",
    space=SpaceConfig(width=False, bits=(8,)),
    fidelity=Fidelity(precision="float32"),  # in which a recipe is scored anew
)
Found = tuple[SearchResult, Path]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    out = tmp_path_factory.mktemp("int8") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(out.parent / "home"))
        return run_search(CONFIG, Path(__file__).parent, out), out


def test_the_recipe_has_int8_in_its_policy_and_in_its_weights(found: Found) -> None:
    recipe = load_recipe(found[1] / "recipe.yaml")
    assert recipe.int8
    weights = load_file(found[1] / recipe.weights.file)
    assert {weights[f"model.{layer}.weight"].dtype for layer in recipe.int8} == {torch.int8}
    assert (found[1] / "model.onnx").stat().st_size < 0.6 * (found[1] / "original.onnx").stat().st_size


def test_the_recipe_makes_the_same_network_again(found: Found, tmp_path: Path) -> None:
    out, task = found[1], Blobs()
    recipe = load_recipe(out / "recipe.yaml")
    model = apply_recipe(recipe, out / "recipe.yaml", task)
    assert score(model, task, "search") == recipe.figures.search_score
    inputs = example(task, 32, "test")
    export_onnx(model, inputs, tmp_path / "again.onnx")
    one, other = (
        deployed_outputs(file, [inputs], Device.local())[0] for file in (out / "model.onnx", tmp_path / "again.onnx")
    )
    assert np.array_equal(one, other)
    checked = verify(recipe, out / "model.onnx", task, model)
    assert checked.passed
    assert checked.int8_run == checked.int8_asked
    assert checked.int8_asked is not None
    assert checked.int8_asked >= len(recipe.int8)  # a float layer between two of them is in int8 too


def test_the_result_says_which_layers_run_in_int8(found: Found) -> None:
    result, out = found
    recipe = load_recipe(out / "recipe.yaml")
    original, best, all_int8 = (result.row(name).int8 for name in ("original", "best", "int8"))
    assert original is not None
    assert best is not None
    assert all_int8 is not None
    assert (original.asked, original.run) == ([], [])
    assert set(recipe.int8) <= set(best.asked)
    assert best.run == best.asked
    assert len(all_int8.run) == all_int8.layers == original.layers
    assert [row.name for row in result.rows] == ["original", "int8", "uniform", "uniform+int8", "random", "best"]
    assert any("fake_quantize" in claim for claim in result.claims)
    report = (out / "report.html").read_text()
    for name in best.run:
        assert f">{name}<" in report


def test_units_include_layers_that_no_group_is_named_after(found: Found) -> None:
    units = {unit.name: unit for unit in found[0].units}
    layer = units["layer1.0.conv2"]
    assert (layer.kind, layer.block, layer.int8, layer.full) == ("layer", "layer1.0", True, 8)
    assert layer.group is not None
    assert units[layer.group].full == layer.full
    assert units["linear"].frozen
    assert units["linear"].int8
