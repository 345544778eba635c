"""The service, a real process over real sockets: a campaign's whole life."""

from pathlib import Path

import pytest

from automc import Client
from automc.recipes import apply_recipe, load_recipe
from automc.recipes.deployed import deployed_score
from automc.tasks import example, load_task
from automc.tasks.loops import score
from automc.workspace.answers import CampaignRequest
from tests.servers import CAMPAIGN, Service, until


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


@pytest.mark.slow
def test_a_policy_of_a_running_campaign_comes_with_what_it_decides_about(service: Service):
    name = service.start(name="long", config={"budget": "macs<=40%", "evaluations": 2000, "agent": "random"})
    until(lambda: service.campaign(name)["counts"].get("random", 0) > 0, seconds=300)
    found = service.ask("GET", f"/campaigns/{name}/evaluations/random/0").json()
    assert service.campaign(name)["state"] == "running"
    units, policy = {unit["name"]: unit for unit in found["units"]}, found["evaluation"]["policy"]
    assert set(policy) <= set(units)
    widths = {unit: choice["channels"] for unit, choice in policy.items() if "channels" in choice}
    assert widths
    assert all(width <= units[unit]["full"] for unit, width in widths.items())
    service.ask("POST", f"/campaigns/{name}/cancel")
    service.await_state(name, "cancelled")
    assert service.ask("DELETE", f"/campaigns/{name}?files=true").status_code == 204
    assert not (service.folder / "runs" / name).exists()
