"""Campaigns over HTTP: made once, in line, stopped, downloaded; and what comes back for whatever else is sent."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from automc.campaigns import launch
from automc.campaigns.campaign import Campaign
from automc.campaigns.studies import names
from automc.service.line import Line
from automc.workspace import LocalWorkspace, Registry, local_workspace
from tests.archives import RESULTS, finished
from tests.failing import FILLER, fill
from tests.postgres import Postgres
from tests.servers import CAMPAIGN, until
from tests.serving import Served, serving
from tests.storages import CONFIG, make

HUGE = "9" * 5000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("campaigns")) as found:
        yield found


def test_a_key_makes_one_campaign_however_often_it_is_asked_for(served: Served) -> None:
    other_order = {**CAMPAIGN, "config": dict(reversed(CAMPAIGN["config"].items()))}
    bodies = [CAMPAIGN, other_order] * 6
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda body: served.start({"Idempotency-Key": "once"}, **body), bodies))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["name"] for answer in answers}) == 1
    another = served.start({"Idempotency-Key": "once"}, name="another")
    assert (another.status_code, another.json()["code"]) == (409, "conflict")
    assert served.ask("GET", "/campaigns/another").status_code == 404


def test_of_two_that_ask_for_a_name_at_once_one_gets_it(served: Served) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: served.start(name="wanted").status_code, range(8)))
    assert sorted(answers) == [201, *[409] * 7]


def test_one_in_line_is_paused_resumed_cancelled_and_deleted(served: Served) -> None:
    name = served.start(name="waits").json()["name"]
    for verb, state, waiting in (
        ("pause", "paused", False),
        ("resume", "queued", True),
        ("cancel", "cancelled", False),
    ):
        answer = served.ask("POST", f"/campaigns/{name}/{verb}")
        assert (answer.json()["state"], answer.json()["waiting"], answer.json()["folder"]) == (state, waiting, None)
    assert served.ask("POST", f"/campaigns/{name}/resume").status_code == 409
    assert served.ask("DELETE", f"/campaigns/{name}").status_code == 204
    assert served.ask("GET", f"/campaigns/{name}").status_code == 404


def test_a_running_campaign_is_not_deleted(served: Served) -> None:
    session = make(served.workspace.storage, "runs").drive()
    answer = served.ask("DELETE", "/campaigns/runs")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    detail = served.ask("GET", "/campaigns/runs").json()
    assert detail["state"] == "running"
    for key in ("created", "started", "since"):
        assert datetime.fromisoformat(detail[key]).utcoffset() is not None, key
    session.close()


def test_files_that_stayed_are_not_those_of_a_later_campaign_of_the_same_name(served: Served) -> None:
    served.start(name="later")
    old = served.workspace.campaigns.look("later").campaign.record.out
    (old / "recipe.yaml").write_text("of the first one")
    served.ask("DELETE", "/campaigns/later")
    assert served.start(name="later").json()["files"] == []
    assert (old / "recipe.yaml").exists()


def test_what_a_finished_campaign_left_is_downloaded(served: Served, tmp_path: Path) -> None:
    finished(served.workspace.storage, tmp_path / "out", "done")
    (tmp_path / "out" / "secret.txt").write_text("mine")
    detail = served.ask("GET", "/campaigns/done").json()
    assert {one["name"] for one in detail["files"]} == {*RESULTS, "model.pt2"}
    for one in detail["files"]:
        answer = served.ask("GET", f"/campaigns/done/files/{one['name']}")
        assert answer.content == (tmp_path / "out" / one["name"]).read_bytes()
        assert answer.headers["content-disposition"] == f'attachment; filename="{one["name"]}"'
    report = served.ask("GET", "/campaigns/done/files/report.html?inline=true")
    assert report.headers["content-security-policy"] == "sandbox allow-scripts"
    assert report.headers["content-disposition"].startswith("inline")
    for name in ("secret.txt", "%2e%2e%2fcampaigns.db", "..%2f..%2fetc%2fpasswd", "%00", "journal.db"):
        assert served.ask("GET", f"/campaigns/done/files/{name}").status_code == 404, name
    assert served.ask("GET", "/campaigns/done/recipe").json()["policy"] == {"conv1": {"channels": 8}}
    assert served.ask("GET", "/campaigns/done/result").json()["rows"]
    until(lambda: served.ask("GET", "/recipes").json()["total"] == 1)  # lists are a second old at most
    recipes = served.ask("GET", "/recipes").json()
    assert [(one["campaign"], one["original_size"]) for one in recipes["items"]] == [("done", 2)]
    archive = served.ask("GET", "/campaigns/done/archive")
    with zipfile.ZipFile(BytesIO(archive.content)) as packed:
        assert {"campaign.json", "recipe.yaml"} <= set(packed.namelist())


def test_what_has_not_finished_has_no_results(served: Served) -> None:
    served.start(name="unfinished")
    for path in ("result", "recipe"):
        assert served.ask("GET", f"/campaigns/unfinished/{path}").status_code == 409
    assert served.ask("GET", "/campaigns/unfinished/files/recipe.yaml").status_code == 404
    assert served.ask("GET", "/campaigns/unfinished/archive").status_code == 200


def body(**config: Any) -> str:
    return json.dumps({"task": "digits", "config": {"budget": "macs<=40%", **config}})


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("", 422),
        ("{", 400),
        ("nothing", 400),
        ('{"task": "digits"', 400),
        ("[" * 100_000, 400),
        ('{"task": ' + HUGE + "}", 400),
        ("[]", 422),
        ("null", 422),
        ('"\\ud800"', 422),
        ('{"\\ud800": 1, "task": "digits"}', 422),
        ('{"task": "\\ud800\\u0000"}', 422),
        ('{"task": "none"}', 404),
        ('{"task": "digits", "more": 1}', 422),
        ('{"task": "digits", "name": "../up"}', 422),
        ('{"task": "digits", "name": "ünicode"}', 422),
        ('{"task": "digits", "name": "line\\nbreak"}', 422),
        ('{"task": "digits", "name": "' + "x" * 81 + '"}', 422),
        (body(evaluations=float("inf")), 422),
        (body(evaluations=10**30), 422),
        (body(evaluations=float("nan")), 422),
        ('{"task": "digits", "config": {"budget": "macs<=40%", "evaluations": 1e400}}', 422),
        (body(seed=10**30), 422),
        (body(seed=-1), 422),
        (body(limits={"minutes": float("nan")}), 422),
        (body(limits={"minutes": float("inf")}), 422),
        (body(finetune={"rate": float("inf")}), 422),
        (body(budget="macs<=1e400"), 422),
        (body(budget="macs<=nan%"), 422),
        (body(budget=["macs<=40%"] * 10_000), 422),
        (body(device={"threads": 10**30}), 422),
        (body(agent="\u0000"), 422),
        (body(agent="random", agent_args={"\ud800": "\ud800"}), 422),
        (body(compute={"workers": 10**30}), 422),
        (body(space={"keep": [[[[[1]]]]]}), 422),
        ('{"task": "digits", "config": ' + '{"a":' * 400 + "1" + "}" * 400 + "}", 400),
    ],
)
def test_what_makes_no_sense_makes_nothing(served: Served, sent: str, status: int) -> None:
    before = names(served.workspace.storage)
    headers = {"Content-Type": "application/json", "Idempotency-Key": "bad"}
    answer = served.ask("POST", "/campaigns", content=sent.encode("utf-8", "surrogatepass"), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["status"] == status
    assert names(served.workspace.storage) == before


@pytest.mark.parametrize("name", ["%00", "%0a", "%ff%fe", "%2e%2e%2f", "a%2fb", "%F0%9F%92%A5", "x" * 81, "%3Cb%3E"])
def test_unknown_names_are_not_found(served: Served, name: str) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "/evaluations"),
        ("GET", f"/evaluations/{name}/1"),
        ("GET", "/recipe"),
        ("GET", "/archive"),
        ("GET", f"/files/{name}"),
        ("POST", "/pause"),
        ("DELETE", ""),
    ):
        answer = served.ask(method, f"/campaigns/{name}{path}")
        assert answer.status_code in (404, 405, 422), (method, path)
        assert answer.headers["content-type"] == "application/problem+json"


def test_enormous_numbers_in_questions_are_refused(served: Served) -> None:
    served.start(name="counted")
    for query in ("offset=-1", f"offset={10**30}", "limit=1e400", "limit=nan", f"limit={HUGE[:4000]}", "limit=0"):
        assert served.ask("GET", f"/campaigns?{query}").status_code == 422
        assert served.ask("GET", f"/campaigns/counted/evaluations?{query}").status_code == 422
    for number in (-1, 10**30, "nan"):
        assert served.ask("GET", f"/campaigns/counted/evaluations/random/{number}").status_code == 422
    assert served.ask("POST", f"/campaigns/counted/resume?workers={10**30}").status_code == 422


def test_a_full_disk_makes_nothing_by_halves(small: Path) -> None:
    with serving(small) as served:
        served.start(name="before")
        fill(small)
        answer = served.start({"Idempotency-Key": "full"}, name="full")
        assert (answer.status_code, answer.json()["code"]) == (507, "disk_full"), answer.text
        (small / FILLER).unlink()
        assert names(served.workspace.storage) == ["before"]
        assert not (small / "runs" / "full").exists()
        assert served.start({"Idempotency-Key": "full"}, name="full").status_code == 201


class Starter:
    """A workspace with a line, and processes that do nothing in place of drivers."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'campaigns.db'}"
        self.patch = monkeypatch
        self.command("sleep 60")
        registry = Registry(at_once=1)
        self.workspace: LocalWorkspace = local_workspace(self.url, folder / "runs", registry, served=True)
        self.line = Line(self.workspace, self.url)

    def command(self, text: str) -> None:
        self.patch.setattr(launch, "AUTOMC", ("sh", "-c", f"echo began; exec {text}"))

    def make(self, name: str) -> Campaign:
        out = self.folder / name
        out.mkdir()
        return Campaign.create(self.workspace.storage, name, CONFIG, self.folder, out, waiting=True)

    def started(self, name: str) -> int:
        log = self.folder / name / launch.LOG
        return log.read_text().count("began") if log.exists() else 0


@pytest.fixture
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    found = Starter(tmp_path, monkeypatch)
    yield found
    found.line.stop()
    found.workspace.close()


def test_those_made_first_begin_first_and_no_more_at_once_than_allowed(starter: Starter) -> None:
    campaigns = {name: starter.make(name) for name in ("b", "a", "c")}
    starter.line.start()
    until(lambda: starter.started("b") == 1)
    session = campaigns["b"].drive()
    campaigns["a"].end("paused")  # it leaves the line
    until(lambda: starter.workspace.campaigns.show("b").state == "running")
    assert starter.started("a") == starter.started("c") == 0
    campaigns["b"].end("finished")
    session.close()
    until(lambda: starter.started("c") == 1)
    assert starter.started("a") == 0
    assert starter.started("b") == 1


def test_what_was_started_and_not_claimed_is_started_again_by_the_next_service(starter: Starter) -> None:
    starter.make("lost")
    starter.line.start()
    until(lambda: starter.started("lost") == 1)
    starter.line.stop()
    starter.line = Line(starter.workspace, starter.url)
    starter.line.start()
    until(lambda: starter.started("lost") == 2)
    assert starter.workspace.campaigns.show("lost").waiting


@pytest.mark.slow
def test_what_always_ends_before_it_begins_fails(starter: Starter) -> None:
    starter.command("true")
    starter.make("hopeless")
    starter.make("next")
    starter.line.start()
    until(lambda: starter.workspace.campaigns.show("hopeless").state == "failed")
    assert starter.started("hopeless") == 3
    assert "ended 3 times before" in str(starter.workspace.campaigns.show("hopeless").reason)
    until(lambda: starter.started("next") >= 1)


@pytest.mark.slow
def test_without_its_database_it_says_so_at_once_and_tells_what_it_knows(postgres: Postgres, tmp_path: Path) -> None:
    with serving(tmp_path, postgres.database()) as served:
        assert served.start(name="known").status_code == 201
        assert served.ask("GET", "/campaigns").json()["total"] == 1
        served.ask("GET", "/campaigns/known")
        postgres.kill()
        for _ in range(3):
            answer = served.start({"Idempotency-Key": "away"}, name="away")
            assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
            assert answer.headers["retry-after"]
            assert served.ask("POST", "/campaigns/known/pause").status_code == 503
            assert served.ask("GET", "//readyz").status_code == 503
            assert served.ask("GET", "//healthz").status_code == 200
            assert served.ask("GET", "/campaigns/known").json()["state"] == "queued"
            assert served.ask("GET", "/campaigns").json()["total"] == 1
        postgres.start()
        until(lambda: served.ask("GET", "//readyz").status_code == 200)
        assert names(served.workspace.storage) == ["known"]
        assert served.start({"Idempotency-Key": "away"}, name="away").status_code == 201
