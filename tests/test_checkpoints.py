"""What an agent learned is noted, and a search goes on from it as if it had never been interrupted."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from automc.agents import AGENTS, Agent, Problem, make_agent
from automc.campaigns import run_search
from automc.campaigns.checkpoints import FOLDER, Memory
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.events import read_events
from automc.campaigns.workers import LocalWorkers, Outcome
from automc.testing import toy_problem
from tests.killing import configure, kill_again_and_again, searched
from tests.learners import Drifter, go_on, register

EVALUATIONS = 37


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AGENTS, "drifter", ("", ""))  # is taken back
    register()


@pytest.fixture(scope="module")
def problem() -> Problem:
    return toy_problem("macs<=40%")


class Run:
    """Memories of one agent on one problem; what they were told, and how often an agent learned."""

    def __init__(self, problem: Problem, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.problem, self.folder, self._log = problem, folder, folder / "learned"
        monkeypatch.setenv("LEARNED_LOG", str(self._log))

    def memory(self, evaluations: Sequence[Evaluated] = (), search: str = "this", seed: int = 0) -> Memory:
        self._log.write_text("")
        return Memory(lambda: Drifter(self.problem, seed), "drifter", self.folder, search, evaluations)

    @property
    def learned(self) -> int:
        return len(self._log.read_text().splitlines())


@pytest.fixture
def run(problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(problem, tmp_path, monkeypatch)


@pytest.mark.parametrize("ended", [9, 10, 25, 36])
def test_a_restored_agent_goes_on_as_undisturbed(run: Run, ended: int) -> None:
    undisturbed = run.memory(search="undisturbed")
    expected = go_on(undisturbed, EVALUATIONS)
    assert run.learned == EVALUATIONS
    before = go_on(run.memory(), ended)
    resumed = run.memory(before)
    assert (resumed.restored, run.learned) == (ended // 10 * 10, ended % 10)  # only what came after is learned again
    assert before + go_on(resumed, EVALUATIONS) == expected
    assert resumed.agent.lessons == undisturbed.agent.lessons
    assert resumed.agent.failed == undisturbed.agent.failed


@pytest.mark.parametrize(
    ("changed", "search"),
    [
        (lambda before: before[:19], "this"),  # a journal that knows less than was noted
        (lambda before: [before[1], before[0], *before[2:]], "this"),
        (lambda before: [before[0].model_copy(update={"score": 0.123}), *before[1:]], "this"),
        (lambda before: before, "another"),
    ],
)
def test_what_is_not_of_the_journals_first_evaluations_is_left_alone(
    run: Run,
    changed: Callable[[list[Evaluated]], list[Evaluated]],
    search: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = go_on(run.memory(), 20)
    assert run.memory(before).restored == 20
    told = changed(before)
    resumed = run.memory(told, search=search)
    assert (resumed.restored, run.learned) == (0, len(told))
    assert "damaged" not in capsys.readouterr().err


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


@pytest.mark.parametrize("damage", [_cut, _empty, _garbage])
def test_a_damaged_file_is_told_and_all_is_learned_again(
    run: Run, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = go_on(run.memory(search="undisturbed"), 30)
    before = go_on(run.memory(search="damaged"), 20)
    damage(run.folder / "drifter.safetensors")
    capsys.readouterr()
    resumed = run.memory(before, search="damaged")
    assert (resumed.restored, run.learned) == (0, 20)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "drifter.safetensors: damaged (" in said[0]
    assert before + go_on(resumed, 30) == expected


def test_a_state_that_an_agent_cannot_take_leaves_no_trace(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = go_on(run.memory(), 10)

    def restore(agent: Drifter, state: dict[str, np.ndarray]) -> None:
        agent.place[:] = 0
        agent.lessons.append(agent.lessons[0])

    monkeypatch.setattr(Drifter, "restore", restore)
    resumed = run.memory(before)
    assert (resumed.restored, len(resumed.agent.lessons)) == (0, 8)


def test_an_agent_without_state_has_no_file(problem: Problem, tmp_path: Path) -> None:
    def make() -> Agent:
        return make_agent("random", problem, 0)

    before = go_on(Memory(make, "random", tmp_path, "this", []), 12)
    assert not list(tmp_path.glob("*.safetensors"))
    assert Memory(make, "random", tmp_path, "this", before).agent.proposed == 12


def test_a_search_killed_at_any_time_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more: dict[str, Any] = {"agent": "drifter", "agent_args": {"noise": 0.2}, "device": {"target": "bismo-cloud"}}
    more["tensorboard"] = True
    config = configure(24, folder=tmp_path, **more)
    undisturbed = run_search(config, tmp_path, tmp_path / "undisturbed")
    monkeypatch.setenv("LEARNED_LOG", str(tmp_path / "learned"))
    kill_again_and_again(tmp_path, 1, 2 * 24 + 1, seed=3, earliest=37)
    assert (tmp_path / "out" / FOLDER / "drifter.safetensors").exists()
    resumed = run_search(config, tmp_path, tmp_path / "out", resume=True)
    assert searched(resumed) == searched(undisturbed)
    assert len((tmp_path / "learned").read_text().splitlines()) <= 24 + 10
    assert not (tmp_path / "out" / FOLDER).exists()
    events = (tmp_path / "out" / "tensorboard" / "drifter").glob("*")
    assert sorted(step for path in events for step, _ in read_events(path)) == list(range(24))


def test_what_was_learned_is_noted_when_a_search_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(6, "Never", agent="drifter", device={"target": "bismo-cloud"})
    wait = LocalWorkers.wait

    def interrupted(workers: LocalWorkers, seconds: float | None = None) -> list[Outcome]:
        ended = wait(workers, seconds)
        if any((one.job.agent, one.job.number) == ("drifter", 4) for one in ended):
            raise KeyboardInterrupt
        return ended

    monkeypatch.setattr(LocalWorkers, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_search(config, tmp_path, tmp_path)
    with safe_open(tmp_path / FOLDER / "drifter.safetensors", "numpy") as file:
        assert file.metadata()["learned"] == "4"
