"""The service is killed, started again and stopped, as a real process; campaigns go on and nothing is lost."""

from __future__ import annotations

import signal
import socket
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest

from automc.campaigns.storage import Storage
from automc.recipes import apply_recipe, load_recipe
from automc.tasks import load_task
from tests.servers import CAMPAIGN, Service, until
from tests.storages import begun

LONGER: dict[str, Any] = {**CAMPAIGN["config"], "evaluations": 6}


def numbers(service: Service, name: str) -> list[tuple[str, int]]:
    rows = service.ask("GET", f"/campaigns/{name}/evaluations?limit=500").json()["items"]
    return [(one["agent"], one["number"]) for one in rows]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_server_that_is_told_to_end_ends_its_streams_and_says_nothing(tmp_path: Path, number: int) -> None:
    (folder := tmp_path / "service").mkdir()
    begun(Storage(f"sqlite:///{folder / 'campaigns.db'}"), "waits")
    with Service(folder) as service:
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 30) as client:
            client.sendall(b"GET /api/v1/campaigns/waits/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            said = b""
            while b"event: campaign" not in said:
                part = client.recv(65536)
                assert part, said
                said += part
            service.process.send_signal(number)
            while part := client.recv(65536):
                said += part
        assert b'event: end\ndata: {"reason":"stopped"}' in said
        assert service.process.wait(30) == 0
        assert service.output.read_text().count("\n") == 1, service.output.read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_killed_in_the_middle_is_started_again_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "service"
    with Service(folder) as first:
        first.start(name="going", config=LONGER)
        first.start(name="next")
        until(lambda: len(numbers(first, "going")) > 0, 300)
        before = numbers(first, "going")
        first.kill()
        with Service(folder) as second:
            assert numbers(second, "going")[: len(before)] == before
            assert second.campaign("next")["waiting"]
            done = second.await_state("going", "finished", "failed", seconds=300)
            assert (done["state"], done["failed"]) == ("finished", 0), done
            after = numbers(second, "going")
            assert after[: len(before)] == before
            assert len(after) == len(set(after)) == done["evaluations"]
            assert second.await_state("next", "finished", "failed", seconds=300)["state"] == "finished"
            archive = second.ask("GET", "/campaigns/going/archive")
            with zipfile.ZipFile(BytesIO(archive.content)) as packed:
                assert "recipe.yaml" in packed.namelist()
            mine = tmp_path / "mine"
            mine.mkdir()
            for one in ("recipe.yaml", "model.safetensors"):
                (mine / one).write_bytes(second.ask("GET", f"/campaigns/going/files/{one}").content)
    recipe = load_recipe(mine / "recipe.yaml")
    monkeypatch.setenv("AUTOMC_HOME", str(folder / "home"))  # where its network was trained
    model = apply_recipe(recipe, mine / "recipe.yaml", load_task("digits"))
    assert sum(one.numel() for one in model.parameters()) < recipe.original.params


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_was_just_taken_out_of_line_is_not_lost_and_not_driven_twice(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    with Service(folder) as first:
        first.start(name="one", config=LONGER)
        until(lambda: bool(_supervisors(first)))  # it has not claimed the campaign yet
        first.kill()
        with Service(folder) as second:
            until(lambda: len(_supervisors(second)) == 2 or second.campaign("one")["state"] == "running", 60)
            done = second.await_state("one", "finished", "failed", seconds=300)
            assert (done["state"], done["failed"]) == ("finished", 0), done
            found = numbers(second, "one")
            assert len(found) == len(set(found)) == done["evaluations"]
            until(lambda: not _supervisors(second))
            assert second.campaign("one")["state"] == "finished"


def _supervisors(service: Service) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            arguments = process.info["cmdline"] or []
            if "supervise" in arguments and process.environ().get("AUTOMC_STORAGE") == service.storage:
                found.append(process)
        except psutil.Error:
            continue
    return found
