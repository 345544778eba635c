"""A search for an accelerator on paper: budgets hold by its model, and nothing is said to be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from automc.campaigns import FineTune, SearchConfig, SearchResult, run_search
from automc.campaigns.config import DeviceConfig
from automc.campaigns.reports.page import render_html
from automc.campaigns.reports.table import comparison
from automc.errors import AutoMCError, ConfigError
from automc.evaluation import Fidelity
from automc.latency_tables import Accelerator, open_target
from automc.recipes import load_recipe
from automc.search_spaces import SpaceConfig

HERE = Path(__file__).parent
CONFIG = SearchConfig(
    task="trained.py:Pairs",
    budget=("latency<=95%", "energy<=90%"),
    evaluations=2,
    finalists=1,
    agent="random",
    space=SpaceConfig(width=False, depth=False, bits=(4, 8)),
    fidelity=Fidelity(precision="float32", calibration_images=64),
    finetune=FineTune(epochs=0),
    device=DeviceConfig(target="bismo-cloud", batch=4),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    out = tmp_path_factory.mktemp("paper") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(out.parent / "home"))
        return run_search(CONFIG, HERE, out), out


def test_budgets_hold_by_the_model(found: tuple[SearchResult, Path]) -> None:
    best, original = found[0].row("best"), found[0].row("original")
    assert best.keeps_budget
    assert best.measured.us == best.predicted.latency
    assert best.measured.us <= 0.95 * original.measured.us
    assert best.predicted.get("energy") <= 0.9 * original.predicted.get("energy")
    assert found[0].row("uniform-bits").keeps_budget  # all layers at 4 bits
    assert not found[0].row("int8").keeps_budget  # which is the original as it runs there


def test_nothing_is_said_to_be_measured(found: tuple[SearchResult, Path]) -> None:
    result, out = found
    said = "atency by the model of bismo-cloud, not measured"
    texts = [result.verdict, " ".join(column.title for column in comparison(result)), render_html(result)]
    assert all(said in text for text in texts)
    for text in (*texts, *result.claims):
        assert "easured latency" not in text
        assert "atency was measured" not in text
    assert any(claim.startswith("Nothing was measured: every latency is by the model") for claim in result.claims)
    assert any("Energy is the model of bismo-cloud, not measured" in claim for claim in result.claims)
    recipe = load_recipe(out / "recipe.yaml")
    assert recipe.device.name == "bismo-cloud"
    assert recipe.figures.measured_us is None
    assert recipe.figures.predicted_us == result.row("best").predicted.latency


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latency_table": Path("table.yaml")}, "latency_table: bismo-cloud is a model, which takes no table"),
        ({"device": DeviceConfig(target="bismo-cloud", threads=2)}, "bismo-cloud is a model of hardware without thr"),
        ({"device": DeviceConfig(target="bismo")}, "unknown device 'bismo'"),
        ({"space": SpaceConfig(bits=(16,))}, "space.bits: no simulation of 16 bits"),
        ({"budget": ("energy<=1nJ",)}, "budget 'energy<=1nJ' cannot be reached: the smallest energy in this space is"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(AutoMCError, match=message):
        run_search(CONFIG.model_copy(update=changes), HERE, tmp_path)


def test_a_target_is_opened_by_its_name() -> None:
    for name in ("bismo-edge", "bismo-cloud", "bitfusion", "roofline"):
        target = open_target(name, batch=3)
        assert isinstance(target, Accelerator)
        assert target.device.batch == 3
    with pytest.raises(ConfigError, match="did you mean 'bitfusion'"):
        open_target("bitfussion")
