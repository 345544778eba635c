"""A search survives evaluations and finalists that fail, and a machine that has no room left."""

import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from automc.campaigns import SearchResult, render_table, run_search, unfinished
from automc.campaigns.journal import FILE
from automc.errors import AutoMCError, SearchError, TaskError
from tests.failing import FILLER
from tests.killing import COMMAND, committed, configure, searched

EVALUATIONS = 12
TABLES = pytest.StashKey[Path]()


@pytest.fixture(autouse=True)
def home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """One home for all tests of this file: its latency table is measured once."""
    stash = request.session.stash
    if TABLES not in stash:
        stash[TABLES] = tmp_path_factory.mktemp("tables")
    monkeypatch.setenv("AUTOMC_HOME", str(stash[TABLES]))


def search(task: str, out: Path, resume: bool = False) -> SearchResult:
    return run_search(configure(EVALUATIONS, task), Path(), out, resume)


def command(folder: Path, task: str, *options: str) -> list[str]:
    configure(EVALUATIONS, task, folder)
    return [*COMMAND, *options]


def left(out: Path) -> list[str]:
    """Returns what lies there beside the journal and what policies are about."""
    return sorted(path.name for path in out.iterdir() if not path.name.startswith((FILE, f".{FILE}", "units.json")))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(out.parent))
        return search("Sometimes", out), out


def test_a_search_goes_on_after_evaluations_that_fail(undisturbed: tuple[SearchResult, Path]) -> None:
    result, out = undisturbed
    failed = [e for e in result.evaluations if e.score is None]
    assert {e.error for e in failed} == {
        "ValueError: no score for this",
        "the task's score of a network is nan; a score must be a finite number",
    }
    asked = [e.agent for e in result.evaluations if not e.extra]
    assert {agent: asked.count(agent) for agent in asked} == {"uniform": 1, "random": EVALUATIONS, "tpe": EVALUATIONS}
    for agent in set(asked):  # none proposes a policy again that failed
        policies = [str(e.policy) for e in result.evaluations if e.agent == agent]
        assert all(policies.count(str(e.policy)) == 1 for e in failed if e.agent == agent)
    best = max((e for e in result.evaluations if e.score is not None), key=lambda e: e.value)
    assert result.row("best").search_score == best.score
    assert SearchResult.model_validate_json((out / "result.json").read_text()) == result


def test_what_failed_is_reported(undisturbed: tuple[SearchResult, Path]) -> None:
    result, out = undisturbed
    count = sum(e.score is None for e in result.evaluations)
    first = next(e for e in result.evaluations if e.score is None)
    said = f"{count} of {len(result.evaluations)} evaluations failed, and count as evaluations; the first (number "
    said += f"{first.number} of {first.agent}): {first.error}."
    assert said in result.claims
    page = (out / "report.html").read_text()
    assert f"of which {count} failed" in page
    assert said.replace("'", "&#39;") in page
    assert said in str(render_table(result).caption)


def test_optunas_own_tools_see_the_decisions_of_its_agents_and_what_failed(
    undisturbed: tuple[SearchResult, Path],
) -> None:
    result, out = undisturbed
    storage = f"sqlite:///{out / FILE}"
    studies = {n: optuna.load_study(study_name=f"search/{n}", storage=storage) for n in ("random", "tpe")}
    for name, study in studies.items():
        own = [e for e in result.evaluations if e.agent == name]
        assert [trial.state.name for trial in study.trials] == ["FAIL" if e.score is None else "COMPLETE" for e in own]
    names = set(studies["tpe"].trials[0].params)
    assert len(names) == len(result.row("best").policy or {})
    assert all(set(trial.params) == names for trial in studies["tpe"].trials)
    assert not any(trial.params for trial in studies["random"].trials)
    assert set(optuna.importance.get_param_importances(studies["tpe"])) == names


def test_only_the_first_failure_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search("Sometimes", tmp_path)
    told = " ".join(capsys.readouterr().err.split())
    failed = [one for one in result.evaluations if one.error]
    assert len(failed) > 1
    assert told.count("the search goes on") == 1
    first = failed[0]
    assert f"Evaluation {first.number} of {first.agent} failed, the search goes on: {first.error}" in told


def test_interrupted_between_failures_it_goes_on_as_undisturbed_and_lets_no_second_search_in(
    tmp_path: Path, undisturbed: tuple[SearchResult, Path]
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    environment = os.environ | {"FAILING_LOG": str(log), "FAILING_AT": "20:wait", "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(
        command(tmp_path, "Sometimes"),
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (log.exists() and "20\n" in log.read_text()) and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        second = subprocess.run(
            command(tmp_path, "Sometimes", "--resume"), cwd=tmp_path, capture_output=True, text=True
        )
        os.killpg(first.pid, signal.SIGINT)  # as a terminal does
        _, told = first.communicate(timeout=60)
    finally:
        first.kill()
    assert second.returncode == 2
    assert "is being driven by another process" in second.stderr
    assert first.returncode == 130
    assert "Finished evaluations are kept; go on with the same command and --resume" in told
    assert "automc: interrupted; nothing was written that is not whole\n" in told
    assert unfinished(out)
    assert committed(out) >= 19  # what two agents propose is scored once and committed twice
    assert left(out) == []
    assert searched(search("Sometimes", out, resume=True)) == searched(undisturbed[0])


def test_a_search_without_any_result_ends_with_the_first_error(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, "Always"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "automc: all evaluations of tpe failed (the first: ValueError: no score for this); mend it and search again"
    )
    assert left(tmp_path / "out") == []
    assert committed(tmp_path / "out") == 2 * EVALUATIONS + 1
    with pytest.raises(SearchError, match="all evaluations of tpe failed"):
        search("Always", tmp_path / "out")  # there was nothing to go on with: it is begun anew, not refused


@pytest.mark.parametrize(
    ("at", "missing"), [([1], {"uniform"}), ([1, 3, *range(2, 2 * EVALUATIONS + 1, 2)], {"uniform", "random"})]
)
def test_a_control_without_a_result_has_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: list[int], missing: set[str]
) -> None:
    """Uniform comes first, then random and the agent take turns; the agent's first policy is uniform's again."""
    monkeypatch.setenv("FAILING_AT", f"{','.join(map(str, at))}:error")
    result = search("Never", tmp_path)
    assert [row.name for row in result.rows if row.agent] == [
        n for n in ("uniform", "random", "best") if n not in missing
    ]
    assert {e.error for e in result.evaluations if e.score is None} == {"RuntimeError: two lines"}
    if len(missing) == 2:
        assert not result.brought
        assert "No control has a result" in result.verdict


def test_a_task_that_cannot_score_its_own_network_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING_AT", "0:error")
    with pytest.raises(TaskError, match=r"^the task cannot score its own network.*: RuntimeError: two lines$"):
        search("Never", tmp_path)
    assert committed(tmp_path) == 0


def test_a_finalist_that_cannot_be_exported_is_passed_by(tmp_path: Path) -> None:
    result = search("NotExported", tmp_path)
    assert [row.name for row in result.rows] == ["original", "random", "best"]  # of uniform there was one policy only
    assert any(
        "number 0 of uniform was passed by: " in claim and "not to be exported" in claim for claim in result.claims
    )
    banned = next(e.policy for e in result.evaluations if e.agent == "uniform")
    assert all(row.policy != banned.to_dict() for row in result.rows)


def test_what_the_machine_lacks_is_no_failure_of_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[SearchResult, Path]
) -> None:
    monkeypatch.setenv("FAILING_AT", "7:memory")
    with pytest.raises(SearchError, match="out of memory: free some, then go on with --resume") as refused:
        search("Sometimes", tmp_path)
    assert "\n" not in str(refused.value)
    assert committed(tmp_path) >= 6  # what two agents propose is scored once and committed twice
    monkeypatch.delenv("FAILING_AT")
    assert searched(search("Sometimes", tmp_path, resume=True)) == searched(undisturbed[0])


@pytest.mark.parametrize("at", [pytest.param("0", marks=pytest.mark.slow), "8", "test"])
def test_a_full_disk_ends_a_search_that_goes_on_when_there_is_room(
    small: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[SearchResult, Path], at: str
) -> None:
    """Filled before the first evaluation, amid the evaluations, and before the files at the end are written."""
    out = small / "out"
    monkeypatch.setenv("FAILING_AT", f"{at}:fill")
    monkeypatch.setenv("FAILING_FOLDER", str(small))
    with pytest.raises(SearchError, match="out of disk space: free some, then go on with --resume") as refused:
        search("Sometimes", out)
    assert "\n" not in str(refused.value)
    assert left(out) == []
    with pytest.raises(AutoMCError):  # it is still full
        search("Sometimes", out, resume=True)
    (small / FILLER).unlink()
    monkeypatch.delenv("FAILING_AT")
    assert searched(search("Sometimes", out, resume=True)) == searched(undisturbed[0])
    assert not unfinished(out)


@pytest.mark.parametrize("limit", [300_000, pytest.param(3_000_000, marks=pytest.mark.slow)])
def test_files_that_may_not_grow_end_a_search_that_goes_on_when_they_may(
    tmp_path: Path, undisturbed: tuple[SearchResult, Path], limit: int
) -> None:
    """The journal's log grows over the smaller limit, the report is over the larger one."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = run(
        command(tmp_path, "Sometimes"),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=limited,
    )
    assert done.returncode == 2, done.stderr
    assert re.match(
        "automc: cannot write out/.*; out of disk space: free some, then go on", done.stderr.splitlines()[-1]
    )
    assert "Traceback" not in done.stderr
    out = tmp_path / "out"
    assert left(out) == []
    assert (committed(out) == 2 * EVALUATIONS + 1) == (limit > 300_000)
    assert searched(search("Sometimes", out, resume=True)) == searched(undisturbed[0])
