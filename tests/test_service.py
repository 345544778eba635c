"""The service, a real process over real sockets: a campaign's whole life."""

from pathlib import Path

import pytest

from automc import Client
from automc.recipes import apply_recipe, load_recipe
from automc.recipes.deployed import deployed_score
from automc.tasks import example, load_task
from automc.tasks.loops import score
from automc.workspace.answers import CampaignRequest
from tests.servers import CAMPAIGN, Service


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Service(tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.mark.slow
def test_a_campaign_is_created_watched_and_finished_and_its_recipe_applied(service: Service, tmp_path: Path):
    with Client(service.url) as team:
        request = CampaignRequest(name="first", task="digits", config=CAMPAIGN["config"])
        assert team.campaigns.start(request).state in ("queued", "running")
        states = [found.state for found in team.campaigns.watch("first")]
        assert states[-1] == "finished"
        assert {"running", "finished"} <= set(states)
        assert [one.name for one in team.campaigns.find().items] == ["first"]
        for file in ("recipe.yaml", "model.safetensors", "model.onnx"):
            team.campaigns.download("first", file, tmp_path / file)
    recipe = load_recipe(tmp_path / "recipe.yaml")
    task = load_task("digits")
    model = apply_recipe(recipe, tmp_path / "recipe.yaml", task)
    assert score(model, task, "search") == pytest.approx(recipe.figures.search_score, abs=0.01)
    assert deployed_score(tmp_path / "model.onnx", task, "test", model(example(task)), recipe.device) == pytest.approx(
        recipe.figures.test_score
    )


def test_mistakes_are_told_field_by_field(service: Service):
    answer = service.ask("POST", "/campaigns", json={"task": "digits", "config": {"budget": "macs<=40%", "spac": 1}})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["fields"] == [{"field": "config.spac", "message": "unknown key (did you mean 'space'?)"}]


def test_no_code_and_no_path_comes_in(service: Service, tmp_path: Path):
    for config in ({"task": "x.py:Task"}, {"task_args": {"data": "/"}}, {"latency_table": "/etc/passwd"}):
        answer = service.ask("POST", "/campaigns", json={"task": "digits", "config": {"budget": "macs<=40%"} | config})
        assert answer.status_code == 422, answer.text
