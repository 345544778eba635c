"""What is its operator's own, the arguments of tasks and where things lie, is shown at home and to nobody else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automc import files
from automc.campaigns import SearchResult
from automc.campaigns.campaign import Campaign
from automc.campaigns.config import Compute, DeviceConfig
from automc.campaigns.launch import LOG
from automc.recipes import load_recipe, save_recipe
from automc.service.app import make_app
from automc.workspace import Registry, local_workspace
from automc.workspace.look import FRESH
from automc.workspace.registry import RegisteredTask
from tests.archives import make_results
from tests.servers import CAMPAIGN
from tests.serving import Served, serving
from tests.storages import ABOUT, CONFIG, add, evaluated
from tests.test_service_events import watching

SECRET = "vault"  # in every path and address that is the operator's own
TASK = """
from automc.tasks.digits import Digits

class Mine(Digits):
    def __init__(self, data):
        super().__init__()
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shown")
    code = folder / SECRET / "mine.py"
    code.parent.mkdir()
    code.write_text(TASK)
    task = RegisteredTask(task=f"{code}:Mine", args={"data": f"/srv/{SECRET}/images"})
    with serving(folder, tasks={"mine": task}, devices={"pi": f"http://{SECRET}:8765"}) as found:
        yield found


def finish(campaign: Campaign, folder: Path) -> None:
    """Leaves what a campaign leaves whose task has arguments."""
    made, config = folder / "made", campaign.record.config
    make_results(made)
    recipe = load_recipe(made / "recipe.yaml")
    save_recipe(recipe.model_copy(update={"task": config.task, "task_args": config.task_args}), made / "recipe.yaml")
    result = SearchResult.model_validate_json((made / "result.json").read_bytes())
    assert result.table is not None
    table = result.table.model_copy(update={"path": f"/srv/{SECRET}/table.yaml"})
    result = result.model_copy(update={"task": config.task, "table": table})
    files.write_text(made / "result.json", result.model_dump_json())
    shutil.copytree(made, campaign.record.out, dirs_exist_ok=True)
    campaign.begin(ABOUT, False, 10, 1)
    add(campaign, evaluated(0))
    campaign.end("finished")
    time.sleep(FRESH)  # what a list says may be so old


def answers(served: Served, name: str) -> dict[str, Any]:
    """Returns all that is answered of a campaign but its files."""
    asked = ["/campaigns", "/recipes", "/tasks", f"/campaigns/{name}", f"/campaigns/{name}/evaluations"]
    asked += [f"/campaigns/{name}/{what}" for what in ("result", "recipe", "evaluations/random/0")]
    found = {path: served.ask("GET", path) for path in asked}
    assert {path: one.status_code for path, one in found.items()} == dict.fromkeys(found, 200)
    with watching(served, name, "?from=start") as stream:
        event = stream.next("campaign")[1]
    assert SECRET not in str(event)
    for path, one in found.items():
        assert SECRET not in one.text, path
    return {path: one.json() for path, one in found.items()}


def test_a_registered_task_is_shown_by_its_name(served: Served, tmp_path: Path) -> None:
    started = served.start(name="asked", task="mine", config={**CAMPAIGN["config"], "device": {"target": "roofline"}})
    assert started.status_code == 201 and SECRET not in started.text
    for what in ("pause", "resume"):
        assert SECRET not in served.ask("POST", f"/campaigns/asked/{what}").text
    finish(Campaign(served.workspace.storage, "asked"), tmp_path)
    served.workspace.campaigns.look("asked").forget()
    found = answers(served, "asked")
    shown = found["/campaigns/asked"]
    assert shown["task"] == shown["config"]["task"] == "mine"
    assert "task_args" not in shown["config"] and shown["folder"] is None
    assert shown["config"]["seed"] == CAMPAIGN["config"]["seed"]
    assert found["/campaigns/asked/result"]["task"] == "mine"
    assert found["/campaigns/asked/result"]["table"]["path"] == "table.yaml"
    assert found["/campaigns/asked/recipe"]["task"] == "mine" and not found["/campaigns/asked/recipe"]["task_args"]
    assert [one["task"] for one in found["/recipes"]["items"] if one["campaign"] == "asked"] == ["mine"]
    # nor can it be guessed at, piece by piece
    assert served.ask("GET", f"/campaigns?search={SECRET}").json()["total"] == 0
    assert served.ask("GET", "/campaigns?search=mine").json()["total"] == 1


def test_of_one_from_the_servers_own_shell_the_task_is_said_and_no_more(served: Served, tmp_path: Path) -> None:
    config = CONFIG.model_copy(
        update={
            "task_args": {"data": f"/srv/{SECRET}"},
            "latency_table": Path(f"/srv/{SECRET}/table.yaml"),
            "sensitivities": Path(f"/srv/{SECRET}/known.yaml"),
            "device": DeviceConfig(target=f"http://{SECRET}:8765"),
            "compute": Compute(workers=4, ray_address=f"{SECRET}:6379"),
        }
    )
    where = tmp_path / SECRET
    storage, source = served.workspace.storage, where / "search.yaml"
    campaign = Campaign.create(storage, "typed", config, where, where / "out", source=source)
    finish(campaign, tmp_path)
    (where / "out" / LOG).write_text(f"{where / 'out'}/report.html: the report, one page\n")
    found = answers(served, "typed")
    assert found["/campaigns/typed"]["log"] == ["report.html: the report, one page"]
    shown = found["/campaigns/typed"]["config"]
    assert (shown["task"], found["/campaigns/typed"]["task"], "task_args" in shown) == ("digits", "digits", False)
    assert (shown["latency_table"], shown["sensitivities"]) == ("table.yaml", "known.yaml")
    assert (shown["device"]["target"], shown["compute"]["workers"]) == ("pi", 4)
    assert (found["/campaigns/typed/recipe"]["task"], found["/campaigns/typed/recipe"]["task_args"]) == ("digits", {})
    # whoever is at home there sees all of it
    with local_workspace(f"sqlite:///{served.folder / 'campaigns.db'}", begin=False) as own:
        detail = own.campaigns.show("typed")
        assert detail.task == f"digits data=/srv/{SECRET}" and detail.folder == str(where / "out")
        assert detail.config == config.model_dump(mode="json")
        assert own.campaigns.recipe("typed").task_args == {"data": f"/srv/{SECRET}"}


def test_what_is_not_opened_to_be_served_is_not(tmp_path: Path) -> None:
    with local_workspace(f"sqlite:///{tmp_path / 'x.db'}", tmp_path, Registry()) as own, pytest.raises(ValueError):
        make_app(own)
