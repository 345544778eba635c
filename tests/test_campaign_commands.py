"""The life of campaigns from the command line, in real processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from automc.campaigns.campaign import Campaign
from automc.campaigns.config import load_config
from automc.campaigns.storage import Storage, default_storage
from automc.campaigns.supervisor import PAUSES
from tests.commands import Command, Done, run_command
from tests.killing import configure

AUTOMC = [sys.executable, "-m", "automc.cli"]
MANY = 2000  # evaluations, more than there is time for


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Runs a command in the test's folder; what it left running is ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("AUTOMC_STORAGE", raising=False)

    def call(*arguments: str) -> Done:
        return run_command(arguments, monkeypatch, capsys)

    yield call
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def campaign_config(folder: Path, evaluations: int, **more: Any) -> None:
    # an accelerator on paper: nothing has to be measured first
    configure(evaluations, "Never", folder, device={"target": "roofline"}, **more)


def shown(run: Command, name: str = "search") -> dict[str, Any]:
    done = run("campaign", "show", name, "--json")
    assert done.code == 0, done
    answer: dict[str, Any] = json.loads(done.output)
    return answer


def wait(run: Command, until: Callable[[dict[str, Any]], bool], name: str = "search") -> dict[str, Any]:
    """Waits until a campaign is as it should be; returns how it stands."""
    deadline = time.monotonic() + 120
    while not until(now := shown(run, name)):
        assert time.monotonic() < deadline, now
        assert now["state"] not in ("failed", "cancelled"), now
        time.sleep(0.1)
    return now


def registered(folder: Path, name: str = "search") -> None:
    """Leaves a campaign that nobody drives."""
    storage = Storage(default_storage())
    config = load_config(folder / "search.yaml")
    Campaign.create(storage, name, config, folder, folder / "runs" / name, source=folder / "search.yaml")
    storage.close()


def test_a_campaign_is_started_watched_paused_and_deleted(tmp_path: Path, run: Command) -> None:
    campaign_config(tmp_path, MANY)
    started = run("campaign", "start", "search.yaml")
    assert started.code == 0, started
    assert "automc campaign watch search" in started.output
    now = wait(run, lambda now: now["evaluations"] >= 5)
    assert (now["state"], now["total"]) == ("running", 2 * MANY + 1)

    (listed,) = json.loads(run("campaign", "list", "--json").output)
    assert (listed["name"], listed["state"], listed["driver"]) == ("search", "running", now["driver"])
    picture = run("campaign", "watch", "search", "--once").output
    assert re.search(r"search running.*best +0\.\d+ at .*/4001, .* a minute, .* left.*front", picture, re.DOTALL)
    assert now["driver"] in picture
    for arguments, message in (
        (("resume", "search"), "search is running (driver: "),
        (("delete", "search", "--yes"), "search is running; cancel it first"),
        (("start", "search.yaml", "--name", "search"), "there is a campaign search in .*; choose another name"),
        (("start", "search.yaml", "--name", "two", "--out", "runs/search"), "runs/search is where search writes to"),
    ):
        refused = run("campaign", *arguments)
        assert refused.code == 2, refused
        assert re.search(message.replace("(", r"\("), refused.line), refused

    paused = run("campaign", "pause", "search")
    assert re.search(r"search is paused; \d+ evaluations are kept", paused.output), paused
    now = shown(run)
    assert (now["state"], now["driver"], now["under_way"], now["failed"]) == ("paused", None, 0, 0)
    time.sleep(PAUSES[0] + 0.2)  # nobody starts it again
    assert shown(run) == now
    assert "search is paused already" in run("campaign", "pause", "search").output

    out = tmp_path / "runs" / "search"
    (out / "mine").touch()
    gone = run("campaign", "delete", "search", "--yes", "--files")
    assert gone.output == "search is deleted\n"
    assert [path.name for path in out.iterdir()] == ["mine"]
    assert json.loads(run("campaign", "list", "--json").output) == []


@pytest.mark.slow
def test_a_killed_driver_goes_on_by_itself_and_ends_as_an_undisturbed_one(tmp_path: Path, run: Command) -> None:
    campaign_config(tmp_path, 60)
    assert run("campaign", "start", "search.yaml", "--name", "undisturbed").code == 0
    assert run("campaign", "start", "search.yaml").code == 0
    for at in (20, 60):
        before = wait(run, lambda now, at=at: now["evaluations"] >= at and now["driver"] is not None)  # type: ignore[misc]
        os.kill(int(before["driver"].rpartition(":")[2]), signal.SIGKILL)
        between = shown(run)
        assert between["state"] == "running"
        after = wait(run, lambda now, old=before["driver"]: now["driver"] not in (old, None))  # type: ignore[misc]
        assert after["evaluations"] >= before["evaluations"]
    ended = wait(run, lambda now: now["state"] == "finished")
    undisturbed = wait(run, lambda now: now["state"] == "finished", "undisturbed")
    same = ("evaluations", "total", "failed", "best", "front")
    assert {key: ended[key] for key in same} == {key: undisturbed[key] for key in same}
    assert "killed by SIGKILL" in (tmp_path / "runs" / "search" / "campaign.log").read_text()

    rows = json.loads(run("campaign", "compare", "search", "undisturbed", "--json").output)
    assert rows[0]["test_score"] is not None
    assert rows[0]["test_score"] == rows[1]["test_score"]
    table = run("campaign", "compare", "search", "undisturbed").output
    assert "worker hours" in table and "undisturbed" in table
    assert "search is finished" in run("campaign", "resume", "search").line
    assert "search is finished" in run("campaign", "cancel", "search").line


@pytest.mark.slow
def test_a_campaign_goes_on_in_the_foreground_and_can_be_cancelled_for_good(tmp_path: Path, run: Command) -> None:
    campaign_config(tmp_path, MANY)
    foreground = subprocess.Popen([*AUTOMC, "campaign", "start", "search.yaml", "--foreground"], cwd=tmp_path)
    deadline = time.monotonic() + 120
    while run("campaign", "show", "search", "--json").code != 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    before = wait(run, lambda now: now["evaluations"] >= 5)
    foreground.send_signal(signal.SIGTERM)
    assert foreground.wait(60) == 130
    assert shown(run)["state"] == "paused"
    assert run("campaign", "resume", "search").code == 0
    wait(run, lambda now: now["evaluations"] > before["evaluations"] + 5)
    assert "search is cancelled" in run("campaign", "cancel", "search").output
    assert shown(run)["state"] == "cancelled"
    assert "search is cancelled; begin another one" in run("campaign", "resume", "search").line


@pytest.mark.slow
def test_of_two_that_start_one_name_at_once_one_is_refused(tmp_path: Path, run: Command) -> None:
    campaign_config(tmp_path, MANY)
    command = [*AUTOMC, "campaign", "start", "search.yaml", "--name", "one", "--out"]
    both = [subprocess.Popen([*command, out], cwd=tmp_path, stderr=subprocess.PIPE, text=True) for out in "ab"]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    assert sum("there is a campaign one in" in text for text in said) == 1
    assert [one["state"] for one in json.loads(run("campaign", "list", "--json").output)] == ["running"]
    assert run("campaign", "cancel", "one").code == 0


def test_a_name_that_nobody_gave_gets_a_number(tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign_config(tmp_path, 5)
    registered(tmp_path)
    monkeypatch.setattr("automc.cli.campaign.go_on", lambda *_: None)  # nothing has to be searched
    assert run("campaign", "start", "search.yaml").code == 0
    assert shown(run, "search-2")["state"] == "queued"
    assert "search-2 is cancelled" in run("campaign", "cancel", "search-2").output


def test_a_configuration_that_changed_is_refused_with_the_difference(tmp_path: Path, run: Command) -> None:
    campaign_config(tmp_path, 5)
    registered(tmp_path)
    campaign_config(tmp_path, 6)
    line = run("campaign", "resume", "search").line
    assert "search.yaml has changed since search was started (evaluations is 5 there, 6 here)" in line
    assert "--as-started" in line
    (tmp_path / "search.yaml").write_text("task: [")
    line = run("campaign", "resume", "search").line
    assert "not valid YAML" in line
    assert "--as-started" in line
    assert shown(run)["state"] == "queued"


@pytest.mark.parametrize("command", ["show", "watch", "pause", "resume", "cancel", "compare", "delete"])
def test_unknown_names_and_storages_are_refused(tmp_path: Path, run: Command, command: str) -> None:
    campaign_config(tmp_path, 5)
    assert re.search("/campaigns.db: no such file; it appears with", run("campaign", command, "search").line)
    registered(tmp_path)
    done = run("campaign", command, "serch")
    assert (done.code, done.output) == (2, "")
    assert re.search(r"no campaign serch in .* \(did you mean 'search'\?\)", done.line)
    done = run("campaign", command, "search", "--storage", "sqlite:///none.db")
    assert (done.code, done.output) == (2, "")
    assert "none.db: no such file" in done.line
    assert not (tmp_path / "none.db").exists()
    assert "mongo://x" in run("campaign", command, "search", "--storage", "mongo://x").line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgett": "macs<=50%"}, "unknown key 'budgett'"),
        ({"task": "failing.py:Nobody"}, "no file|no class|unknown task"),
        ({"device": {"target": "roofine"}}, "did you mean 'roofline'"),
        ({"agent": "tpee"}, "did you mean 'tpe'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_it_is_registered(
    tmp_path: Path, run: Command, changes: dict[str, Any], message: str
) -> None:
    campaign_config(tmp_path, 5)
    data = json.loads((tmp_path / "search.yaml").read_text())
    (tmp_path / "search.yaml").write_text(json.dumps(data | changes))
    done = run("campaign", "start", "search.yaml")
    assert (done.code, done.output) == (2, "")
    assert re.search(message, done.line), done
    assert json.loads(run("campaign", "list", "--json").output) == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_driver_that_cannot_begin_says_why(tmp_path: Path, run: Command) -> None:
    """What takes longer to find out than a start should."""
    campaign_config(tmp_path, 5)
    data = json.loads((tmp_path / "search.yaml").read_text())
    (tmp_path / "search.yaml").write_text(json.dumps(data | {"budget": "macs<=0.001%"}))
    started = run("campaign", "start", "search.yaml")
    deadline = time.monotonic() + 60
    while started.code == 0 and (now := shown(run))["state"] != "failed" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "cannot be reached" in (now["reason"] if started.code == 0 else started.line)
    assert "cannot be reached" in run("campaign", "watch", "search").output
    assert "failed" in run("campaign", "list").output


def test_resuming_takes_what_may_change_from_the_file_and_workers_from_who_said_so(
    tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automc.cli.campaign.go_on", lambda *_: None)
    campaign_config(tmp_path, 5)
    assert run("campaign", "start", "search.yaml", "--workers", "3").code == 0

    def config() -> dict[str, Any]:
        answer: dict[str, Any] = shown(run)["config"]
        return answer

    assert config()["compute"]["workers"] == 3
    campaign_config(tmp_path, 5, limits={"minutes": 7}, compute={"cpus": 2})
    assert run("campaign", "pause", "search").code == 0
    assert run("campaign", "resume", "search", "--as-started").code == 0
    assert (config()["limits"]["minutes"], config()["compute"]["cpus"]) == (None, 1)
    assert run("campaign", "resume", "search").code == 0
    assert (config()["limits"]["minutes"], config()["compute"]) == (
        7.0,
        {"workers": 3, "ray_address": None, "cpus": 2, "gpus": 0.0},
    )
    assert run("campaign", "resume", "search", "--workers", "1").code == 0
    assert config()["compute"]["workers"] == 1
    (tmp_path / "search.yaml").unlink()
    assert run("campaign", "resume", "search").code == 0
    assert config()["limits"]["minutes"] == 7


@pytest.mark.slow
def test_a_driver_whose_supervisor_is_killed_goes_on_and_can_be_resumed_when_it_is_killed_too(
    tmp_path: Path, run: Command
) -> None:
    campaign_config(tmp_path, MANY)
    supervisor = subprocess.Popen([*AUTOMC, "campaign", "start", "search.yaml", "--foreground"], cwd=tmp_path)
    deadline = time.monotonic() + 120
    while run("campaign", "show", "search", "--json").code != 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    before = wait(run, lambda now: now["evaluations"] >= 5)
    supervisor.kill()
    supervisor.wait()
    alone = wait(run, lambda now: now["evaluations"] > before["evaluations"] + 5)
    assert (alone["state"], alone["driver"]) == ("running", before["driver"])
    assert "search is running (driver: " in run("campaign", "resume", "search").line
    driver = psutil.Process(int(alone["driver"].rpartition(":")[2]))
    driver.kill()
    with contextlib.suppress(psutil.NoSuchProcess):  # init has it now
        driver.wait(10)
    failed = shown(run)
    assert (failed["state"], failed["driver"]) == ("failed", None)
    assert "ended without a word; go on with it: automc campaign resume search" in failed["reason"]
    assert run("campaign", "resume", "search").code == 0
    wait(run, lambda now: now["evaluations"] > failed["evaluations"] + 5)
    assert run("campaign", "cancel", "search").code == 0
