"""What all workspaces promise, on this machine or on a server."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest

from automc.errors import ConfigError, Conflict, Invalid, NotFound, TableError
from automc.latency_tables import load_table
from automc.recipes import Recipe, load_recipe
from automc.workspace import Campaigns, Workspace
from automc.workspace.answers import CampaignRequest, NetworkRequest

_STRANGE = ("none", "..", ".", "", "a/b", "x" * 200, "ünï", "%2e%2e", "a b", "..\\x")

TABLE = """\
version: 2
device: {{name: {name}, processor: made up, instructions: [avx2], runtime: onnxruntime 1.31.0}}
measured_at: '2026-01-31T12:00:00+00:00'
method: by hand
overhead_us: {{run: 8.0, kernel: 0.2, int8: 0.1}}
operators:
  linear 64,10 n=1: {{us: {us}, low: 3.0, high: 3.4, runs: 60}}
  linear 64,20 n=1: {{us: 6.0, low: 5.9, high: 6.4, runs: 60}}
  relu 64 n=1: {{us: 1.0, low: 0.9, high: 1.1, runs: 60}}
"""
"""A made-up table, but for its device's name and a latency."""


class WorkspaceConformance(ABC):
    """Subclass it as ``TestMyWorkspace`` and give `make`, `request` and `finish`; pytest runs the rest.

    Attributes:
        task: a task that is registered there.
        config: the other keys of a short campaign's configuration.
    """

    task: ClassVar[str]
    config: ClassVar[Mapping[str, object]]

    @abstractmethod
    def make(self) -> Workspace:
        """Returns the workspace under test, in which nobody starts campaigns that wait."""

    @abstractmethod
    def finish(self, name: str) -> None:
        """Drives a campaign that waits to its end."""

    @pytest.fixture(scope="class")
    def workspace(self) -> Iterator[Workspace]:
        """The workspace, opened once; it is closed twice."""
        with self.make() as workspace:
            yield workspace
        workspace.close()

    @pytest.fixture
    def waiting(self, workspace: Workspace) -> Iterator[str]:
        """A campaign that waits."""
        name = workspace.campaigns.start(self.wanted()).name
        yield name
        with suppress(NotFound):
            workspace.campaigns.delete(name, with_files=True)

    def wanted(self, **changes: object) -> CampaignRequest:
        """Returns a request for a short campaign."""
        return CampaignRequest.model_validate({"task": self.task, "config": self.config, **changes})

    def test_the_catalog_has_what_can_be_asked_for(self, workspace: Workspace) -> None:
        """Each under a name of its own, agents with a schema that says what their settings are."""
        catalog = workspace.catalog
        for found in (catalog.tasks(), catalog.agents(), catalog.presets(), catalog.devices()):
            assert len({one.name for one in found}) == len(found) > 0
        assert self.task in {one.name for one in catalog.tasks()}
        assert "local" in {one.name for one in catalog.devices()}
        settings = [field for one in catalog.agents() for field in one.settings.get("properties", {}).values()]
        assert settings and all(field["description"] for field in settings)

    @pytest.mark.parametrize("name", _STRANGE)
    def test_there_is_nothing_of_a_name_that_nobody_gave(self, workspace: Workspace, name: str, tmp_path: Path) -> None:
        """Whatever is asked, it is the same error, in one line; nothing is written."""
        campaigns, tables = workspace.campaigns, workspace.tables
        for ask in (
            lambda: campaigns.show(name),
            lambda: campaigns.pause(name),
            lambda: campaigns.resume(name),
            lambda: campaigns.cancel(name),
            lambda: campaigns.delete(name),
            lambda: campaigns.evaluations(name),
            lambda: campaigns.evaluation(name, "random", 0),
            lambda: next(campaigns.watch(name)),
            lambda: campaigns.result(name),
            lambda: campaigns.recipe(name),
            lambda: campaigns.download(name, "recipe.yaml", tmp_path / "file"),
            lambda: tables.show(name),
            lambda: tables.operators(name),
            lambda: tables.query(name, ["linear 64,10 n=1"]),
            lambda: tables.network(name, NetworkRequest(task=self.task)),
            lambda: tables.text(name),
            lambda: tables.compare(name, name),
        ):
            with pytest.raises(NotFound) as caught:
                ask()
            assert "\n" not in str(caught.value)
        assert list(tmp_path.glob("file*")) == []

    def test_a_campaign_waits_is_found_paused_resumed_cancelled_and_deleted(
        self, workspace: Workspace, waiting: str
    ) -> None:
        """What makes no sense as it stands is a conflict."""
        campaigns = workspace.campaigns
        shown = campaigns.show(waiting)
        assert (shown.state, shown.waiting, shown.evaluations) == ("queued", True, 0)
        assert campaigns.find(search=waiting).items[0].name == waiting
        for find in (campaigns.result, campaigns.recipe):
            with pytest.raises(Conflict):
                find(waiting)
        assert campaigns.pause(waiting).state == "paused"
        assert campaigns.pause(waiting).state == "paused"
        seen = list(campaigns.watch(waiting))
        assert [one.state for one in seen] == ["paused"]
        assert campaigns.resume(waiting).state == "queued"
        with pytest.raises(Conflict):
            campaigns.resume(waiting)
        assert campaigns.cancel(waiting).state == "cancelled"
        for ask in (campaigns.pause, campaigns.resume):
            with pytest.raises(Conflict):
                ask(waiting)
        campaigns.delete(waiting, with_files=True)
        with pytest.raises(NotFound):
            campaigns.show(waiting)
        assert waiting not in {one.name for one in campaigns.find(limit=500).items}

    def test_pages_have_each_campaign_once(self, workspace: Workspace) -> None:
        """By any order, and only those that were asked for."""
        campaigns = workspace.campaigns
        mark = f"page-{uuid4().hex[:8]}"
        names = [campaigns.start(self.wanted(name=f"{mark}-{number}")).name for number in range(3)]
        pages = [campaigns.find(search=mark, sort="-name", offset=at, limit=2) for at in (0, 2, 4)]
        assert [[one.name for one in page.items] for page in pages] == [names[:0:-1], names[:1], []]
        assert {page.total for page in pages} == {3}
        assert campaigns.find(search=mark, state="finished").items == []
        for name in names:
            campaigns.delete(name, with_files=True)

    def test_a_request_with_a_key_makes_one_campaign(self, workspace: Workspace, waiting: str) -> None:
        """However often it is made; another request with the key, and a name that is taken, make none."""
        campaigns, key = workspace.campaigns, uuid4().hex
        made = campaigns.start(self.wanted(), key).name
        assert campaigns.start(self.wanted(), key).name == made != waiting
        for changed, with_key in ((self.wanted(name="other"), key), (self.wanted(name=made), None)):
            with pytest.raises(Conflict):
                campaigns.start(changed, with_key)
        campaigns.delete(made, with_files=True)

    def test_mistakes_are_told_where_they_are(self, workspace: Workspace) -> None:
        """All at once, and nothing is made."""
        before = workspace.campaigns.find().total
        with pytest.raises(Invalid) as caught:
            workspace.campaigns.start(self.wanted(config={**self.config, "spac": 1, "evaluations": 0}))
        assert {where for where, _ in caught.value.fields} == {"config.spac", "config.evaluations"}
        with pytest.raises(Invalid, match=r"config\.latency_table"):
            workspace.campaigns.start(self.wanted(config={**self.config, "latency_table": "/etc/passwd"}))
        with pytest.raises(NotFound, match=r"other\.py"):
            workspace.campaigns.start(self.wanted(task="other.py:Task"))
        assert workspace.campaigns.find().total == before

    def test_a_finished_campaign_can_be_read_and_taken_along(self, workspace: Workspace, tmp_path: Path) -> None:
        """Its evaluations, result and files; and it can be deleted."""
        campaigns = workspace.campaigns
        name = campaigns.start(self.wanted()).name
        self.finish(name)
        *_, last = campaigns.watch(name)
        assert (last.state, last.reason) == ("finished", None)
        rows = campaigns.evaluations(name, limit=500)
        assert rows.total == len(rows.items) == last.evaluations > 0
        assert campaigns.evaluations(name, offset=1, limit=1).items == rows.items[1:2]
        row = rows.items[0]
        one = campaigns.evaluation(name, row.agent, row.number)
        assert (one.evaluation.score, one.evaluation.predicted) == (row.score, row.predicted)
        assert one.units
        for agent, number in (("nobody", 0), (row.agent, 10**6), (row.agent, -1)):
            with pytest.raises(NotFound):
                campaigns.evaluation(name, agent, number)
        assert campaigns.result(name).row("best").policy is not None
        for file in ("recipe.yaml", "model.safetensors", "model.onnx", f"{name}.campaign"):
            assert campaigns.download(name, file, tmp_path / file).stat().st_size > 0
        self._recipe_is_the_files(campaigns, name, load_recipe(tmp_path / "recipe.yaml"))
        for file in ("none", "../campaigns.db", "other.campaign"):
            with pytest.raises(NotFound):
                campaigns.download(name, file, tmp_path / "none")
        assert not (tmp_path / "none").exists()
        with pytest.raises(Conflict):
            campaigns.cancel(name)
        campaigns.delete(name, with_files=True)
        assert name not in {one.campaign for one in campaigns.recipes(limit=500).items}

    def _recipe_is_the_files(self, campaigns: Campaigns, name: str, file: Recipe) -> None:
        """Apart from how the task is made, which is not shown to others; and it is in the list."""
        made_by = {"task", "task_args"}
        assert campaigns.recipe(name).model_dump(exclude=made_by) == file.model_dump(exclude=made_by)
        until = time.monotonic() + 20
        while not (first := campaigns.recipes(limit=1)).items or first.items[0].campaign != name:
            assert time.monotonic() < until, "its recipe, of the last campaign, never came first"
            time.sleep(0.1)  # a list may be a second old
        listed = first.items[0]
        assert (listed.task, listed.agent, listed.budgets) == (campaigns.show(name).task, file.agent, file.budgets)
        assert (listed.macs, listed.original_size) == (file.figures.macs, file.original.size)
        assert campaigns.recipes(offset=first.total).items == []

    def test_a_table_is_added_asked_and_compared(self, workspace: Workspace, tmp_path: Path) -> None:
        """What comes back is what was sent; one that is there already is replaced only where that is asked for."""
        tables, name = workspace.tables, f"made-{uuid4().hex[:8]}"
        added = tables.add(TABLE.format(name=name, us=3.2))
        assert added in tables.all()
        assert tables.show(added.id).kinds == {"linear": 2, "relu": 1}
        page = tables.operators(added.id, contains="linear", offset=1)
        assert ([row.us for row in page.items], page.total) == ([6.0], 2)
        asked = ["linear 64,10 n=1", "gibberish", "linear 64,15 n=1"]
        known, nonsense, between = tables.query(added.id, asked)
        assert (known.us, known.how, nonsense.us) == (3.2, "measured", None)
        assert nonsense.error and "gibberish" in nonsense.error
        assert between.us is None or 3.2 < between.us < 6.0
        assert tables.query(added.id, []) == []
        (tmp_path / "table.yaml").write_text(tables.text(added.id), encoding="utf-8")
        assert len(load_table(tmp_path / "table.yaml").entries) == added.operators == 3
        with pytest.raises(Conflict, match="already"):
            tables.add(TABLE.format(name=name, us=4.0))
        assert tables.add(TABLE.format(name=name, us=4.0), replace=True).id == added.id
        assert tables.query(added.id, ["linear 64,10 n=1"])[0].us == 4.0
        other = tables.add(TABLE.format(name=f"{name}-2", us=3.2))
        found = tables.compare(added.id, other.id)
        assert (found.operators, found.only_first, found.only_second) == (3, 0, 0)
        assert found.device is not None and name in found.device
        with pytest.raises(NotFound, match="no-task"):
            tables.network(added.id, NetworkRequest(task="no-task"))
        with pytest.raises(ConfigError, match="policy"):
            tables.network(added.id, NetworkRequest(task=self.task, policy={"x": {"chanels": 1}}, estimate=True))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected keys and values"),
            ("version: 2", "missing"),
            ("a: [" + "1," * 700_000 + "1]", "larger than"),
            ("a: " + "[" * 100_000, "nested more than 100 deep"),
            ("a: &a [*a]", "contains itself"),
            (TABLE.format(name="twice", us=1) + "  relu 64 n=1: {us: 1.0, low: 1, high: 1, runs: 6}\n", "twice"),
            (TABLE.format(name="twice", us=1) + "  relu 64  n=1: {us: 1.0, low: 1, high: 1, runs: 6}\n", "twice"),
            (TABLE.format(name="../../x", us=1), "device.name"),
            (TABLE.format(name="roofline", us=1), "on paper"),
            (TABLE.format(name="x", us=1).replace("avx2]", "avx2], threads: 99999"), "threads"),
            (TABLE.format(name="x", us="1" + "0" * 400), "hundreds of digits"),
            (TABLE.format(name="x", us="1.0e+300"), "us: Input should be"),
            (TABLE.format(name="x", us=1).replace("'2026-01-31T12:00:00+00:00'", "2026-13-31"), "YAML"),
            (TABLE.format(name="x", us=1).replace("64,10", "64,1" + "0" * 400), "no operator signature"),
            ("version: 2\n\x00", "YAML"),
        ],
    )
    def test_a_table_that_cannot_be_is_refused_in_one_line(self, workspace: Workspace, text: str, message: str) -> None:
        """And nothing of it stays."""
        before = workspace.tables.all()
        with pytest.raises(TableError, match=message) as caught:
            workspace.tables.add(text)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600
        assert workspace.tables.all() == before
