"""Workspaces of this machine and of a server keep the same promises: one server, asked both ways."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

import automc
from automc.campaigns.campaign import Campaign
from automc.campaigns.drive import drive
from automc.campaigns.storage import Storage
from automc.testing import WorkspaceConformance
from automc.testing.workspaces import TABLE
from automc.workspace import Workspace, load_registry, local_workspace
from tests.archives import finished
from tests.commands import Command, Done, run_command
from tests.servers import Service, until
from tests.storages import make


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("conform")
    registry = folder / "registry.yaml"
    registry.write_text(f"tasks: {{chain: {{task: '{Path(__file__).with_name('failing.py')}:Never'}}}}")
    with Service(folder, "--registry", str(registry)) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def busy(service: Service) -> Iterator[None]:
    """One campaign is under way, by this process, so that the server starts no other."""
    storage = Storage(service.storage)
    session = make(storage, "busy").drive()
    yield
    session.close()
    storage.close()


class _Both(WorkspaceConformance):
    task: ClassVar = "chain"
    config: ClassVar = {
        "budget": "macs<=50%",
        "agent": "random",
        "evaluations": 1,
        "finalists": 1,
        "space": {"channel_multiple": 2},
        "device": {"target": "roofline"},
    }
    service: Service

    @pytest.fixture(scope="class", autouse=True)
    def _there(self, request: pytest.FixtureRequest, service: Service) -> None:
        request.cls.service = service

    def finish(self, name: str) -> None:
        storage = Storage(self.service.storage)
        drive(Campaign(storage, name))
        storage.close()


class TestHere(_Both):
    def make(self) -> Workspace:
        folder = self.service.folder
        return local_workspace(self.service.storage, folder / "runs", load_registry(folder / "registry.yaml"))


class TestThere(_Both):
    def make(self) -> Workspace:
        return automc.Client(self.service.url)


@pytest.fixture
def run(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command that asks the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("AUTOMC_SERVER", service.url)

    def call(*arguments: str) -> Done:
        return run_command(arguments, monkeypatch, capsys)

    return call


def test_a_campaign_at_a_server_is_driven_by_the_same_commands(run: Command, service: Service) -> None:
    Path("search.yaml").write_text(yaml.safe_dump({"task": "chain", **_Both.config}))
    started = run("campaign", "start", "search.yaml", "--name", "far")
    assert started.output.splitlines()[0] == f"far is in line at {service.url}", started
    assert "far" in [one["name"] for one in json.loads(run("campaign", "list", "--json").output)]
    assert "in line" in run("campaign", "show", "far").output
    assert "far queued" in run("campaign", "watch", "far", "--once").output
    assert "far is paused; 0 evaluations are kept" in run("campaign", "pause", "far").output
    assert "far is paused already" in run("campaign", "pause", "far").output
    assert "far is in line" in run("campaign", "resume", "far").output
    assert "far is queued; only what is paused" in run("campaign", "resume", "far").line
    assert json.loads(run("campaign", "compare", "far", "--json").output)[0]["state"] == "queued"
    assert "far has no file 'recipe.yaml'" in run("campaign", "download", "far").line
    assert "far.campaign: all of far" in run("campaign", "export", "far", "far.campaign").output
    assert Path("far.campaign").stat().st_size > 0
    assert "far is cancelled" in run("campaign", "cancel", "far").output
    assert "far is cancelled; there is nothing to pause" in run("campaign", "pause", "far").line
    assert run("campaign", "delete", "far", "--yes").output == "far is deleted; its files stay on the server\n"
    assert "no campaign far" in run("campaign", "show", "far").line


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"task": "own.py:Task"}, (), "no task 'own.py:Task' is registered here"),
        ({"task_args": {"x": 1}}, (), "search.yaml: task_args: this cannot be chosen from afar"),
        ({"latency_table": "/etc/passwd"}, (), "latency_table: this cannot be chosen from afar"),
        ({"budgett": "macs<=1%"}, (), "search.yaml: .*budgett: unknown key"),
        ({}, ("--name", "a/b"), "name: String should match"),
        ({}, ("--out", "runs"), "--out: about this machine only"),
        ({}, ("--foreground", "--ray-address", "a:1"), "--ray-address, --foreground: about this machine only"),
        ({}, ("--workers", "5"), "5 are asked for, 1 offered at most"),
    ],
)
def test_what_a_server_cannot_be_asked_for_is_one_line(
    run: Command, changes: dict[str, object], options: tuple[str, ...], message: str
) -> None:
    Path("search.yaml").write_text(yaml.safe_dump({"task": "chain", **_Both.config, **changes}))
    done = run("campaign", "start", "search.yaml", *options)
    assert (done.code, done.output) == (2, "")
    assert re.search(message, done.line), done


def test_a_servers_tables_are_sent_looked_at_and_asked(run: Command) -> None:
    for name in ("one", "two"):
        Path(f"{name}.yaml").write_text(TABLE.format(name=f"far-{name}", us=3.2))
        assert "3 operators" in run("latency", "upload", f"{name}.yaml").output
    assert "there is a table of this device already" in run("latency", "upload", "one.yaml").line
    assert run("latency", "upload", "one.yaml", "--replace").code == 0
    listed = {one["device"]["name"]: one["id"] for one in json.loads(run("latency", "list", "--json").output)}
    first, second = listed["far-one"], listed["far-two"]
    shown = json.loads(run("latency", "show", "--table", first, "--contains", "relu", "--json").output)
    assert list(shown["operators"]) == ["relu 64 n=1"]
    asked = run("latency", "query", "linear 64,10 n=1", "--table", first)
    assert "linear 64,10 n=1: 3.2 us (3.2 to 3.2), measured" in asked.output
    assert "3 operators in both" in run("latency", "compare", first, second).output
    whole = run("latency", "query", "--model", "chain", "--table", first)
    assert (whole.code, whole.output) == (2, "") and "no entry" in whole.line, whole
    assert run("latency", "download", first, "back.yaml").code == 0
    assert run("latency", "show", "--table", first, "--threads", "2").line.endswith("or leave out --server")
    assert "say which of the server's tables" in run("latency", "query", "linear 64,10 n=1").line
    assert "no latency table 'none'" in run("latency", "show", "--table", "none").line
    Path("bad.yaml").write_text("version: [")
    assert "not valid YAML" in run("latency", "upload", "bad.yaml").line


def test_what_a_server_offers_is_listed(run: Command) -> None:
    assert list(json.loads(run("tasks", "--json").output)) == ["chain"]
    assert "auto" in json.loads(run("agents", "--json").output)
    assert "standard deviation" in run("agents", "auto").output
    assert "did you mean 'auto'" in run("agents", "autto").line
    assert "roofline" in run("device", "list").output


def test_recipes_are_listed_and_shown_here_and_at_a_server(
    run: Command, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no recipes yet" in run("recipe", "list").output
    storage = Storage(service.storage)
    finished(storage, tmp_path / "out", "there")
    until(lambda: json.loads(run("recipe", "list", "--json").output) != [])  # lists are a second old at most
    assert "no campaign none" in run("recipe", "show", "--campaign", "none").line
    for where in ((), ("--storage", service.storage)):
        if where:
            monkeypatch.delenv("AUTOMC_SERVER")
        listed = json.loads(run("recipe", "list", "--json", *where).output)
        assert [(one["campaign"], one["task"], one["original_macs"]) for one in listed] == [("there", "digits", 2.0)]
        table = run("recipe", "list", *where).output
        assert re.search(r"there .* digits .* macs<=50% .* tpe .* 50% .* 50%", table), table
        shown = run("recipe", "show", "--campaign", "there", *where)
        assert shown.output == run("recipe", "show", str(tmp_path / "out" / "recipe.yaml")).output != ""
    for wrong in ((), ("x.yaml", "--campaign", "there")):
        assert run("recipe", "show", *wrong).line.endswith("or --campaign NAME (automc recipe list)")
    assert run("campaign", "delete", "there", "--yes", *where).code == 0
    storage.close()


def test_the_document_says_what_fields_are_and_shows_what_can_be_sent(service: Service) -> None:
    document = service.ask("GET", "/openapi.json").json()
    schemas = document["components"]["schemas"]
    for name in ("CampaignDetail", "CampaignRequest", "TableDetail", "OperatorRequest", "Problem", "Device"):
        assert "Attributes" not in schemas[name]["description"]
        assert all(field.get("description") for field in schemas[name]["properties"].values()), name
    bodies = [one["requestBody"]["content"] for path in document["paths"].values() for one in path.values()
              if "requestBody" in one]  # fmt: skip
    assert len(bodies) >= 4
    for content in (one for body in bodies for one in body.values()):
        model = schemas.get(content["schema"].get("$ref", "").rpartition("/")[2], {})
        assert "example" in content or model.get("examples"), content


def test_tables_are_text_of_a_limited_size(service: Service) -> None:
    def send(body: bytes, kind: str) -> tuple[int, str]:
        answer = service.ask("POST", "/tables", content=body, headers={"Content-Type": kind})
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code, answer.json()["code"]

    assert send(b"{}", "application/json") == (415, "media_type")
    assert send(b"\xff", "text/plain")[0] == 400
    assert send(b"", "application/yaml") == (422, "table")
    assert send(b"#" * (16 << 20) + b"##", "application/yaml") == (413, "too_large")
