"""Finalists are trained after the search; what comes out is the trained network, compared with its like."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from automc.agents import AGENTS, Agent
from automc.campaigns import FineTune, SearchConfig, SearchResult, run_search
from automc.campaigns import search as search_module
from automc.campaigns.checkpoints import FOLDER
from automc.evaluation import Fidelity
from automc.files import digest
from automc.recipes import apply_recipe, load_recipe, verify
from automc.search_spaces import Policy, SpaceConfig
from automc.tasks import Inputs
from automc.tasks.loops import score
from tests.trained import Blobs

HERE = Path(__file__).parent
FAINT = {"brightness": 1.2}  # hard enough for a small network to lose by what is taken from it
CONFIG = SearchConfig(
    task="trained.py:Blobs",
    task_args=FAINT,
    budget=("macs<=20%",),
    evaluations=3,
    finalists=2,
    space=SpaceConfig(channel_multiple=4),
    fidelity=Fidelity(calibration_images=64),
    finetune=FineTune(epochs=4, finalists=2),
)
YAML = """
task: {task}
task_args: {{brightness: 1.2}}
budget: macs<=20%
evaluations: 3
finalists: 2
space: {{channel_multiple: 4}}
fidelity: {{calibration_images: 64}}
finetune: {{epochs: 8, finalists: 2}}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One home for this file: its searches share a latency table."""
    monkeypatch.setenv("AUTOMC_HOME", str(shared))
    return shared


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> tuple[SearchResult, Path]:
    out = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(shared))
        return run_search(CONFIG, HERE, out), out


def test_the_recipe_makes_the_tuned_network_and_verifies(found: tuple[SearchResult, Path]) -> None:
    result, out = found
    task, recipe, best = Blobs(brightness=FAINT["brightness"]), load_recipe(out / "recipe.yaml"), result.row("best")
    model = apply_recipe(recipe, out / "recipe.yaml", task)
    assert best.tuned is not None
    assert best.tuned.epochs == recipe.tuned_epochs == 4
    assert recipe.figures.search_score == best.tuned.search_score
    assert best.tuned.search_score == pytest.approx(score(model, task, "search"), abs=2 / 128)  # not in bfloat16 here
    assert recipe.weights.sha256 == digest(out / "model.safetensors")
    assert recipe.figures.test_score == best.tuned.test_score
    assert verify(recipe, out / "model.onnx", task, model).passed
    inputs = next(iter(task.batches("test")))[0]
    with torch.no_grad():
        expected = model(inputs)
        exported = torch.export.load(out / "model.pt2").module()(inputs)
    assert (expected - exported).abs().max() < 1e-4


def test_scores_before_and_after_are_both_kept(found: tuple[SearchResult, Path]) -> None:
    result, out = found
    best = result.row("best")
    before = {str(done.policy.to_dict()): done.score for done in result.evaluations}
    assert best.search_score == before[str(best.policy)]
    assert best.tuned is not None
    assert best.tuned.search_score > best.search_score
    assert result.row("original").tuned is None
    found_by_agent = [done.policy.to_dict() for done in result.evaluations if done.agent == "tpe"]
    highest = max(row.search_score for row in result.rows[1:])
    for row in map(result.row, result.controls):  # not tuned, unless it would have been the best of all
        assert row.tuned is None or row.policy in found_by_agent or row.search_score == highest
    assert "Before fine-tuning (4 epochs) it was" in result.verdict
    assert any("Fine-tuned on the training split alone" in claim for claim in result.claims)
    assert not (out / FOLDER).exists()


class Spoilt(Blobs):
    """Its training examples show nothing."""

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        assert isinstance(inputs, torch.Tensor)
        return torch.randn(inputs.shape, generator=generator)


def test_a_network_that_training_makes_worse_stays_as_it_was(tmp_path: Path) -> None:
    finetune = FineTune(epochs=4, rate=0.2, finalists=1, distillation=0)
    changes = {"task": "test_finetuning.py:Spoilt", "finetune": finetune, "evaluations": 1, "finalists": 1}
    result = run_search(CONFIG.model_copy(update=changes), HERE, tmp_path)
    recipe, task = load_recipe(tmp_path / "recipe.yaml"), Blobs(brightness=FAINT["brightness"])
    model = apply_recipe(recipe, tmp_path / "recipe.yaml", task)
    best = result.row("best")
    assert best.tuned is None
    assert recipe.tuned_epochs == 0
    assert best.search_score == pytest.approx(score(model, task, "search"), abs=2 / 128)
    assert any("best had none" in claim for claim in result.claims)


def test_how_much_worse_a_trained_network_may_score_can_be_said(tmp_path: Path) -> None:
    finetune = FineTune(epochs=1, rate=0.2, finalists=1, distillation=0, tolerance=1.0)
    changes = {"task": "test_finetuning.py:Spoilt", "finetune": finetune, "evaluations": 1, "finalists": 1}
    best = run_search(CONFIG.model_copy(update=changes), HERE, tmp_path).row("best")
    assert best.tuned is not None
    assert best.tuned.search_score < best.search_score


class Whole(Agent):
    """A control over any budget: everything is kept."""

    proposals = 1

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return self.problem.space.decode(self.problem.space.full)


class Silent(Agent):
    """A control that has nothing to propose in this space."""

    def _propose(self, number: int, attempt: int) -> Policy | None:
        return None


@pytest.mark.parametrize("budget", ["macs<=20%", "latency<=60%"])
def test_any_list_of_controls_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str) -> None:
    monkeypatch.setitem(AGENTS, "whole", (f"{__name__}:Whole", ""))
    monkeypatch.setitem(AGENTS, "silent", (f"{__name__}:Silent", ""))
    monkeypatch.setattr(search_module, "CONTROLS", ("whole", "silent", "uniform"))
    finetune = FineTune(epochs=4, finalists=1, controls=True)
    result = run_search(
        CONFIG.model_copy(update={"budget": (budget,), "finetune": finetune, "finalists": 1, "evaluations": 2}),
        HERE,
        tmp_path / "out",
    )
    assert [row.name for row in result.rows] == ["original", "whole", "uniform", "best"]
    whole = result.row("whole")
    assert not whole.keeps_budget
    assert whole.policy == next(done.policy.to_dict() for done in result.evaluations if done.agent == "whole")
    assert sum(done.agent == "whole" for done in result.evaluations) == 1  # it is not forced into the budget
    assert whole.tuned is None  # what is over the budget is not the one to beat
    assert "control whole" not in result.verdict
    assert result.row("best").agent != "whole"
    assert "before fine-tuning)" not in result.verdict  # uniform was tuned likewise, if it keeps the budget
    assert (result.row("uniform").tuned is not None) == result.row("uniform").keeps_budget


def run_and_kill(folder: Path, until: Callable[[], bool]) -> None:
    """Starts a search on the command line and kills it when ``until()`` says so."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from automc.cli import main; main()", "search", "search.yaml", "--out", "out"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as here: what is trained depends on it
    )
    deadline = time.monotonic() + 120
    while not until() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_search_killed_while_tuning_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    task = f"{HERE / 'trained.py'}:Blobs"
    finetune = FineTune(epochs=8, finalists=2)
    config = CONFIG.model_copy(update={"task": task, "finetune": finetune})
    (tmp_path / "search.yaml").write_text(YAML.format(task=task))
    undisturbed = run_search(config, tmp_path, tmp_path / "undisturbed")
    checkpoints = tmp_path / "out" / FOLDER

    # one network is tuned, another has begun to be
    run_and_kill(tmp_path, lambda: len(list(checkpoints.glob("*/training.pt"))) == 2)
    resumed = run_search(config, tmp_path, tmp_path / "out", resume=True)
    one, other = (result.row("best") for result in (resumed, undisturbed))
    assert one.policy == other.policy
    assert one.tuned is not None
    assert other.tuned is not None
    assert one.tuned.search_score == other.tuned.search_score
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "undisturbed")]
    assert weights[0] == weights[1]
    assert not checkpoints.exists()


def test_settings_of_fine_tuning_may_be_changed_before_a_search_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"finetune": FineTune(epochs=1, rate=1e9), "evaluations": 1, "finalists": 1})
    with pytest.raises(Exception, match="lower the learning rate"):
        run_search(config, HERE, tmp_path)
    config = config.model_copy(update={"finetune": FineTune(epochs=1)})
    monkeypatch.setattr(search_module.Evaluator, "evaluate", None)  # nothing is evaluated again
    result = run_search(config, HERE, tmp_path, resume=True)
    assert result.row("best").tuned is not None
