"""The scripts that compare agents: what is recorded is not done again, and the test set is read once."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from automc.agents import AGENTS, Agent, agent_class
from automc.agents.random import Random
from automc.campaigns import read_subject
from automc.evaluation import Fidelity
from automc.search_spaces import Policy
from automc.tasks import Task

FOLDER = Path(__file__).parent.parent / "benchmarks" / "agents"
Main = Callable[..., int]


class Careful(Random):
    """Needs sensitivities, and says what it makes of them: its first proposal is what they like best."""

    needs_sensitivities = True

    def _propose(self, number: int, attempt: int) -> Policy | None:
        found = self.problem.sensitivities
        assert found is not None and found.harms
        samples = [self.problem.sample(self.generator(number, 100 * attempt + one)) for one in range(10)]
        return min(samples, key=lambda policy: found.of(self.problem.space.encode(policy)))


class FromAbove(Random):
    """Begins over the budget, with the network as it is."""

    approaches = True

    def _propose(self, number: int, attempt: int) -> Policy | None:
        space = self.problem.space
        return space.decode(space.full) if number == 0 else super()._propose(number, attempt)


@pytest.fixture(scope="module", autouse=True)
def scripts(digits: Task) -> Iterator[None]:
    """Scripts and their modules, imported by name as where one of them is started; evaluations that look at little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        ground, problems = import_module("ground"), import_module("problems")
        few = Fidelity(search_images=100, calibration_images=32)
        patch.setitem(problems.PROBLEMS, "digits", replace(problems.PROBLEMS["digits"], fidelity=few, final=few))
        subject = read_subject(digits)
        patch.setattr(ground, "read_subject", lambda task, target: subject)
        for cls in (Careful, FromAbove):
            patch.setitem(AGENTS, cls.__name__.lower(), (f"{__name__}:{cls.__name__}", "of these tests"))
        yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


@pytest.fixture
def script(tmp_path: Path) -> Main:
    """Runs one of the scripts; its results go to a folder of the test's."""

    def start(name: str, *words: str) -> int:
        main: Main = import_module(name).main
        return main([*words, "--out", str(tmp_path / "out")])

    return start


def rows(tmp_path: Path, run: str, file: str = "runs/{}.jsonl") -> list[dict]:
    path = tmp_path / "out" / "digits" / file.format(run)
    return [json.loads(line) for line in path.read_text().splitlines()]


def _best(run: list[dict]) -> dict:
    first = max(run, key=lambda row: row["score"])
    close = [row for row in run if row["score"] >= first["score"] - first["spread"]]
    return min(close, key=lambda row: row["change"])


def known(row: dict) -> dict:
    """What does not depend on how busy the machine is."""
    return {key: value for key, value in row.items() if not key.endswith("_s") and key != "at"}


def test_a_run_goes_on_where_it_was_cut_off_as_if_it_never_was(script: Main, tmp_path: Path) -> None:
    assert script("run", "digits", "uniform,tpe", "1", "--evaluations", "4") == 0
    whole = rows(tmp_path, "tpe-seed1")
    assert [row["number"] for row in whole] == [0, 1, 2, 3] and all(row["keeps"] for row in whole)
    totals = [row["total_s"] for row in whole]
    assert totals == sorted(totals) and totals[0] > 0
    file = tmp_path / "out" / "digits" / "runs" / "tpe-seed1.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]) + lines[2][:100])  # as a process leaves it that is killed while it writes
    assert script("run", "digits", "uniform,tpe", "1", "--evaluations", "4") == 0
    assert list(map(known, rows(tmp_path, "tpe-seed1"))) == list(map(known, whole))
    before = file.read_bytes()
    assert script("run", "digits", "tpe", "1", "--evaluations", "4") == 0
    assert file.read_bytes() == before


def test_seeds_draw_images_for_calibration_too(script: Main, tmp_path: Path) -> None:
    assert script("run", "digits", "uniform", "0,1,2", "--evaluations", "5") == 0
    runs = [rows(tmp_path, f"uniform-seed{seed}") for seed in range(3)]
    assert all(len(run) == 2 and "end" in run[1] for run in runs)  # it has nothing more to propose
    assert len({json.dumps(run[0]["policy"]) for run in runs}) == 1
    assert len({run[0]["score"] for run in runs}) > 1


def test_sensitivities_are_measured_once_a_seed_and_paid_for(script: Main, tmp_path: Path) -> None:
    assert script("run", "digits", "careful", "0", "--evaluations", "2", "--within") == 0
    run, file = rows(tmp_path, "careful-seed0"), tmp_path / "out" / "digits" / "sensitivities-seed0.json"
    found = json.loads(file.read_text())
    assert found["seconds"] > 0 and found["evaluations"] > 2 and len(run) == 1  # they were all that it could have
    assert run[0]["total_s"] > run[0]["sensitivities_s"] == found["seconds"]
    before = file.read_bytes()
    assert script("run", "digits", "careful", "0", "--evaluations", "2") == 0
    assert len(rows(tmp_path, "careful-seed0")) == 2 and file.read_bytes() == before


def test_the_test_set_is_read_once_for_the_best_that_keeps_the_budget(
    script: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("run", "digits", "fromabove", "0", "--evaluations", "3") == 0
    run = rows(tmp_path, "fromabove-seed0")
    assert [row["keeps"] for row in run] == [False, True, True] and run[0]["score"] > max(r["score"] for r in run[1:])
    assert script("run", "digits", "random", "0", "--evaluations", "2") == 0
    file = tmp_path / "out" / "digits" / "runs" / "random-seed0.jsonl"
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    assert script("finals") == 0
    finals = rows(tmp_path, "", "finals.jsonl")
    assert [row["run"] for row in finals] == ["original", "fromabove-seed0"]  # the other one is not finished
    done = finals[1]
    assert done["keeps"] and done["found at"] == _best(run[1:])["number"]
    assert done["built"]["macs"] == run[done["found at"]]["predicted"]["macs"]  # counted, and as it was predicted
    assert 0 < done["test"] <= 1
    assert script("finals") == 0 and script("run", "digits", "fromabove", "0", "--evaluations", "9") == 0
    assert rows(tmp_path, "", "finals.jsonl") == finals and rows(tmp_path, "fromabove-seed0") == run
    capsys.readouterr()
    assert script("show") == 0
    table = capsys.readouterr().out
    assert "| fromabove | 1 | 3 |" in table and f"{100 * done['test']:.2f} |" in table
    page = (tmp_path / "out" / "show.html").read_text()
    assert "Plotly.newPlot" in page and page.count("plotly-graph-div") == 2 and "<script src" not in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("digit", "random", "0"), "unknown problem 'digit' (did you mean 'digits'?)"),
        (("digits", "rando", "0"), "unknown agent 'rando' (did you mean 'random'?)"),
        (("digits", "random,tpe", "0", "--arg", "a=1"), "--arg: settings are those of one agent"),
        (("digits", "random", "0", "--arg", "a"), "--arg a: expected key=value"),
        (("digits", "random", "0", "--arg", "a=1"), "unknown key 'a'"),
        (("digits15", "random", "0"), "measure it on the idle machine: python benchmarks/agents/tables.py digits15"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    script: Main, words: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script("run", *words) == 2
    assert said in capfd.readouterr().err


def test_two_processes_do_not_write_one_file_and_other_conditions_are_refused(
    script: Main, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    journal = import_module("records").Journal(tmp_path / "out" / "digits" / "runs" / "random-seed0.jsonl")
    assert script("run", "digits", "random", "0") == 2
    assert "another process is writing it" in capfd.readouterr().err
    journal.close()
    about = tmp_path / "out" / "digits" / "problem.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"limits": {"macs": 5.0}}))
    assert script("run", "digits", "random", "0") == 2
    assert "recorded with limits {'macs': 5.0}" in capfd.readouterr().err


def test_curves_of_several_seeds_begin_where_all_have_begun() -> None:
    plots = import_module("plots")
    early, late = (np.array([1.0, 4.0]), np.array([50.0, 60.0])), (np.array([2.0, 3.0]), np.array([40.0, 80.0]))
    grid, values = plots.together([early, late], 9.0)
    assert grid.tolist() == [2, 3, 4, 9]
    assert values.tolist() == [[50, 40], [50, 80], [60, 80], [60, 80]]


def test_agents_of_these_tests_are_agents() -> None:
    assert all(issubclass(agent_class(cls.__name__.lower()), Agent) for cls in (Careful, FromAbove))
