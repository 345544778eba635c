"""A search over simulated bits, from its configuration to a recipe that makes the same network again."""

from pathlib import Path

import pytest

from automc.campaigns import FineTune, SearchConfig, SearchResult, run_search
from automc.errors import ConfigError
from automc.evaluation import Fidelity
from automc.graph import build_graph
from automc.models import CifarResNet
from automc.recipes import apply_recipe, load_recipe, verify
from automc.search_spaces import SpaceConfig, build_space
from automc.tasks.loops import score
from tests.networks import Example, randomize, smooth_images
from tests.trained import Pairs

HERE = Path(__file__).parent
CONFIG = SearchConfig(
    task="trained.py:Pairs",
    budget=("size<=20%",),
    evaluations=2,
    finalists=1,
    agent="random",
    space=SpaceConfig(width=False, depth=False, bits=(3, 8), simulate=True),
    fidelity=Fidelity(precision="float32", calibration_images=64),  # in which a recipe is scored anew
    finetune=FineTune(epochs=1, finalists=1, quantized=True),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    out = tmp_path_factory.mktemp("bits") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(out.parent / "home"))
        return run_search(CONFIG, HERE, out), out


def test_the_recipe_makes_the_same_network_again(found: tuple[SearchResult, Path]) -> None:
    result, out = found
    recipe, task = load_recipe(out / "recipe.yaml"), Pairs()
    assert recipe.bits
    assert {pair for pair in recipe.bits.values()} <= {(3, 3), (3, 8), (8, 3), (8, 8)}
    assert any(pair != (8, 8) for pair in recipe.bits.values())
    model = apply_recipe(recipe, out / "recipe.yaml", task)
    assert score(model, task, "search") == recipe.figures.search_score
    assert verify(recipe, out / "model.onnx", task, model).passed
    assert result.table_missing is not None
    assert recipe.figures.size <= 0.2 * recipe.original.size


def test_it_can_be_trained_through_its_quantizers(found: tuple[SearchResult, Path]) -> None:
    best = found[0].row("best")
    assert best.tuned is None or best.tuned.search_score >= best.search_score


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": ("latency<=60%",)}, "budget 'latency<=60%': space.simulate offers bits that the device does not"),
        ({"space": SpaceConfig(bits=(1,), simulate=True)}, "space.bits: no simulation of 1 bits"),
        ({"space": SpaceConfig(bits=(4,))}, "space.bits: the device does not run 4 bits; it runs: 8"),
    ],
)
def test_what_cannot_be_simulated_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run_search(CONFIG.model_copy(update=changes), HERE, tmp_path)


def test_each_layer_is_offered_every_pair_of_bits() -> None:
    example = Example(randomize(CifarResNet(1, widths=(6, 8, 12), option="B"), 0), smooth_images(1))
    graph = build_graph(*example)
    space = build_space(graph, SpaceConfig(width=False, depth=False, bits=(2, 8), simulate=True), 1)
    assert space.units == [layer.name for layer in graph.weighted]
    assert {axis.options for axis in space.axes} == {((2, 2), (2, 8), (8, 2), (8, 8), (32, 32))}
