"""The service, a real process over real sockets: a campaign's whole life."""

from pathlib import Path

import pytest

from tests.servers import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Service(tmp_path_factory.mktemp("service")) as found:
        yield found


def test_a_campaign_is_created_and_finishes(service: Service):
    name = service.start(name="first")
    done = service.await_state(name, "finished", "failed")
    assert done["state"] == "finished", done
    assert done["evaluations"] >= 2
    listed = service.ask("GET", "/campaigns").json()
    assert [one["name"] for one in listed["items"]] == ["first"]
    assert {one["name"] for one in done["files"]} >= {"recipe.yaml", "model.onnx", "report.html"}


def test_mistakes_are_told_field_by_field(service: Service):
    answer = service.ask("POST", "/campaigns", json={"task": "digits", "config": {"budget": "macs<=40%", "spac": 1}})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["fields"] == [{"field": "config.spac", "message": "unknown key (did you mean 'space'?)"}]


def test_no_code_and_no_path_comes_in(service: Service, tmp_path: Path):
    for config in ({"task": "x.py:Task"}, {"task_args": {"data": "/"}}, {"latency_table": "/etc/passwd"}):
        answer = service.ask("POST", "/campaigns", json={"task": "digits", "config": {"budget": "macs<=40%"} | config})
        assert answer.status_code == 422, answer.text
