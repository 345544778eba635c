"""On Ray finalists are trained side by side, as they are here: what dies goes on, what falls behind ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from automc.campaigns import FineTune, SearchConfig, SearchResult, run_search
from automc.campaigns.checkpoints import FOLDER
from automc.campaigns.config import Compute
from automc.campaigns.retraining import Entry, Retraining
from automc.campaigns.side_by_side import train_side_by_side
from automc.campaigns.workers import Work
from automc.errors import ConfigError, TaskError
from automc.evaluation import Evaluator, Fidelity
from automc.files import write_text
from automc.graph import build_graph
from automc.search_spaces import Policy, SpaceConfig, build_space
from automc.tasks import example, load_task
from tests.clusters import Cluster, ray_cluster
from tests.mortal import BATCHES

HERE = Path(__file__).parent
EPOCHS = 3


@pytest.fixture(scope="module", autouse=True)
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the user whose processes these are."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def cluster(user: Path) -> Iterator[Cluster]:
    with ray_cluster(2) as cluster:
        yield cluster


class Finals:
    """Networks of one task that are to be trained, best first: the whole one, and the smallest there is."""

    def __init__(self, name: str, folder: Path, compute: Compute, count: int = 1) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.notes = folder, folder / "notes"
        arguments = {"notes": str(self.notes)}
        task = load_task(f"mortal.py:{name}", arguments, HERE)
        model = task.model()
        graph = build_graph(model, example(task))
        space = build_space(graph, SpaceConfig(), 1)
        self.evaluator = Evaluator(task, model, graph, Fidelity(calibration_images=64))
        self.work = Work(f"mortal.py:{name}", arguments, str(HERE), self.evaluator)
        self.config = SearchConfig(
            task=self.work.task,
            budget=("macs<=99%",),
            finetune=FineTune(epochs=EPOCHS),
            compute=compute,
        )
        policies = (space.decode(space.full), space.decode(0 * space.full))[:count]
        self.entries = [
            Entry(policy, f"number {number} of tpe", folder / f"network{number}" / "training.pt", f"Training {number}")
            for number, policy in enumerate(policies)
        ]

    def train(self) -> dict[Policy, str]:
        return train_side_by_side(self.entries, self.work, self.config, True, self.folder / "finetuning.json")

    def processes(self) -> list[str]:
        """Returns the process of every batch that was trained on."""
        return self.notes.read_text().split()


def weights(finals: Finals, number: int = 0) -> Sequence[torch.Tensor]:
    content = torch.load(finals.entries[number].checkpoint, weights_only=True)
    assert content["state"]["epoch"] == EPOCHS
    return list(content["model"].values())


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Finals:
    """The first network, trained in this process."""
    finals = Finals("Noted", tmp_path_factory.mktemp("here"), Compute())
    trained = Retraining(finals.evaluator, finals.entries[0], finals.config.finetune, finals.config.seed).run()
    assert trained.epochs == EPOCHS
    return finals


def test_a_training_whose_worker_is_killed_goes_on_and_one_behind_is_stopped(
    tmp_path: Path, user: Path, cluster: Cluster, here: Finals, capfd: pytest.CaptureFixture[str]
) -> None:
    finals = Finals("Mortal", tmp_path / "ray", Compute(ray_address=cluster.address), count=2)
    capfd.readouterr()
    stopped = finals.train()
    said = capfd.readouterr()
    processes = finals.processes()
    # half of the second epoch was lost, and nothing else; this process trained nothing
    assert len(processes) == (EPOCHS + 1) * BATCHES + BATCHES // 2
    assert len(set(processes)) == 3
    assert str(os.getpid()) not in processes
    # what came out is what would have come out here, to the bit
    assert all(torch.equal(a, b) for a, b in zip(weights(finals), weights(here), strict=True))
    assert stopped == {
        finals.entries[1].policy: f"number 1 of tpe was stopped after epoch 1 of {EPOCHS}, behind the others"
    }
    # nothing is left or said that is Tune's, and nothing is done twice
    assert sorted(path.name for path in finals.folder.iterdir()) == ["finetuning.json", "network0", "network1", "notes"]
    assert not (user / "ray_results").exists()
    assert said.out == ""
    assert "Training 0: its worker died; it goes on from its last epoch" in said.err
    assert all(line.startswith(("Training ", "Fine-tuning ")) for line in said.err.splitlines())
    assert finals.train() == stopped
    assert finals.processes() == processes


@pytest.mark.slow
def test_a_task_that_fails_ends_it_in_one_line(tmp_path: Path, cluster: Cluster) -> None:
    finals = Finals("Broken", tmp_path, Compute(ray_address=cluster.address))
    with pytest.raises(TaskError, match=r"^Training 0 failed; mend the task.*--resume: ValueError: no such image$"):
        finals.train()
    assert len(finals.processes()) == 1  # it would fail again


@pytest.mark.slow
def test_a_network_that_workers_die_of_is_passed_by(tmp_path: Path, cluster: Cluster) -> None:
    finals = Finals("Deadly", tmp_path, Compute(ray_address=cluster.address))
    lost = finals.train()
    assert lost == {
        finals.entries[0].policy: "number 0 of tpe was not fine-tuned: 4 workers died while they trained it"
    }
    assert len(set(finals.processes())) == 4


@pytest.mark.slow
def test_a_folder_that_a_machine_does_not_see_is_named(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    finals = Finals("Noted", tmp_path / "out", Compute(ray_address=cluster.address))
    monkeypatch.setattr("automc.files.write_text", lambda path, text: write_text(tmp_path / "elsewhere", text))
    with pytest.raises(ConfigError, match=r"not seen by .*choose one with --out"):
        finals.train()
    assert not finals.notes.exists()


def die(folder: Path) -> None:
    """Trains in a process that is killed meanwhile."""
    torch.set_num_threads(1)  # as everywhere here: sums of two threads differ in the last bits
    Finals("Noted", folder, Compute(workers=2)).train()


@pytest.mark.slow
def test_a_driver_that_is_killed_loses_one_epoch_at_most(tmp_path: Path, here: Finals) -> None:
    code = f"from pathlib import Path; from tests.{Path(__file__).stem} import die; die(Path({str(tmp_path)!r}))"
    finals = Finals("Noted", tmp_path, Compute(workers=2))
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=HERE.parent, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (finals.notes.exists() and len(finals.processes()) > BATCHES) and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    there = -1
    while there != len(finals.processes()):  # its workers end with it, not at once
        there = len(finals.processes())
        time.sleep(3)
    epochs = torch.load(finals.entries[0].checkpoint, weights_only=True)["state"]["epoch"]
    assert 1 <= epochs < EPOCHS
    assert finals.train() == {}
    assert len(finals.processes()) - there == (EPOCHS - epochs) * BATCHES
    assert all(torch.equal(a, b) for a, b in zip(weights(finals), weights(here), strict=True))


def search(task: str, out: Path, compute: Compute) -> SearchResult:
    config = SearchConfig(
        task=f"mortal.py:{task}",
        task_args={"notes": str(out.with_suffix(".notes"))},
        budget=("macs<=20%",),
        evaluations=3,
        finalists=3,
        space=SpaceConfig(channel_multiple=4),
        fidelity=Fidelity(calibration_images=64),
        finetune=FineTune(epochs=4, finalists=3),
        compute=compute,
    )
    return run_search(config, HERE, out)


@pytest.mark.slow
def test_a_search_on_ray_ends_as_one_here(tmp_path: Path) -> None:
    there = search("Mortal", tmp_path / "there", Compute(workers=2))
    here = search("Noted", tmp_path / "here", Compute())
    one, other = there.row("best"), here.row("best")
    assert one.tuned is not None and other.tuned is not None
    assert one.tuned.epochs == 4
    assert one.tuned.seconds > 0
    stopped = [claim for claim in there.claims if "behind the others" in claim]
    assert all(claim.startswith("In the finals number ") for claim in stopped)
    if one.policy == other.policy:  # unless it was stopped, as the first to come never is
        assert one.tuned.search_score == other.tuned.search_score
        weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("here", "there")]
        assert weights[0] == weights[1]
    assert not (tmp_path / "there" / FOLDER).exists()
