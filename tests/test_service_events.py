"""A campaign's events: what is told, from where on, and when a stream ends."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import httpx2
import pytest
from fastapi import Request

from automc.campaigns.campaign import Campaign
from tests.servers import until
from tests.serving import Served, serving
from tests.storages import add, begun, evaluated


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("events")) as found:
        yield found


def make(served: Served, name: str, evaluations: int = 0) -> Campaign:
    campaign = begun(served.workspace.storage, name)
    for number in range(evaluations):
        add(campaign, evaluated(number))
    return campaign


class Stream:
    """What comes in, as it comes."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._queue: Queue[tuple[str, str | None, Any]] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        event: dict[str, str] = {}
        try:
            for line in self.response.iter_lines():
                if line:
                    key, _, value = line.partition(": ")
                    event[key] = value
                elif "event" in event:  # comments are none
                    self._queue.put((event["event"], event.get("id"), json.loads(event["data"])))
                    event = {}
        except httpx2.HTTPError:
            pass

    def next(self, kind: str) -> tuple[str | None, Any]:
        """Returns identifier and data of the next event of a kind."""
        while True:
            found, number, data = self._queue.get(timeout=20)
            if found == kind:
                return number, data


@contextmanager
def watching(served: Served, name: str, query: str = "", **headers: str) -> Iterator[Stream]:
    url = f"{served.url}/api/v1/campaigns/{name}/events{query}"
    with httpx2.stream("GET", url, headers=headers, trust_env=False, timeout=30) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


def test_what_ends_is_told_as_it_ends(served: Served) -> None:
    campaign = make(served, "told", 2)
    with watching(served, "told") as stream:
        _, detail = stream.next("campaign")
        assert (detail["state"], detail["evaluations"], detail["folder"]) == ("queued", 2, None)
        add(campaign, evaluated(2))
        cursor, row = stream.next("evaluation")
        assert (row["number"], row["cursor"]) == (2, cursor)
        add(campaign, evaluated(0, "tpe", failed=True))
        assert stream.next("evaluation")[1]["agent"] == "tpe"
        campaign.end("paused")
        while stream.next("campaign")[1]["state"] != "paused":
            pass
        campaign.end("cancelled")
        assert stream.next("end")[1] == {"reason": "cancelled"}
    listed = served.ask("GET", "/campaigns/told/evaluations").json()["items"]
    assert [(one["agent"], one["number"]) for one in listed] == [*(("random", n) for n in range(3)), ("tpe", 0)]


def test_a_stream_goes_on_where_another_one_broke(served: Served) -> None:
    campaign = make(served, "again", 4)
    campaign.end("cancelled")
    with watching(served, "again", "?from=start") as stream:
        cursors = [stream.next("evaluation")[0] for _ in range(4)]
        assert stream.next("end")[1] == {"reason": "cancelled"}
    with watching(served, "again", "?from=start", **{"Last-Event-ID": str(cursors[1])}) as stream:
        assert [stream.next("evaluation")[0] for _ in range(2)] == cursors[2:]
        assert stream.next("end")
    with (
        serving(served.folder) as other,
        watching(  # a server that was started again
            other, "again", **{"Last-Event-ID": str(cursors[2])}
        ) as stream,
    ):
        assert stream.next("evaluation")[0] == cursors[3]


def test_another_campaign_of_the_same_name_is_another_one(served: Served) -> None:
    make(served, "twice", 3).delete()
    make(served, "twice", 1)
    with watching(served, "twice", "?from=start") as stream:
        stream.next("evaluation")
        Campaign(served.workspace.storage, "twice").delete()
        make(served, "twice", 2).end("cancelled")
        assert stream.next("end")[1] == {"reason": "deleted"}
    assert served.ask("GET", "/campaigns/twice").json()["evaluations"] == 2


def test_streams_go_with_their_clients(served: Served) -> None:
    make(served, "shared")
    events = served.app.state.events
    host, port = served.url.removeprefix("http://").split(":")
    clients = [socket.create_connection((host, int(port))) for _ in range(30)]
    for client in clients:
        client.sendall(b"GET /api/v1/campaigns/shared/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: events.streams == len(clients))
    for client in clients[:25]:
        client.close()
    until(lambda: events.streams == 5)
    for client in clients:
        client.close()
    until(lambda: events.streams == 0)
    assert served.ask("GET", "/campaigns/shared").status_code == 200


def test_a_stream_ends_when_it_is_no_longer_allowed(served: Served) -> None:
    make(served, "refused")
    allowed = True

    async def still_allowed(request: Request) -> bool:
        assert request.url.path.endswith("/refused/events")
        return allowed

    served.app.state.still_allowed = still_allowed
    try:
        with watching(served, "refused") as stream:
            stream.next("campaign")
            allowed = False
            assert stream.next("end")[1] == {"reason": "refused"}
    finally:
        del served.app.state.still_allowed


@pytest.mark.parametrize(
    ("name", "query", "headers", "status"),
    [
        ("nobody", "", {}, 404),
        ("bad", "?from=yesterday", {}, 422),
        ("bad", "", {"Last-Event-ID": "x" * 300}, 422),
    ],
)
def test_mistakes_are_told_before_a_stream_begins(
    served: Served, name: str, query: str, headers: dict[str, str], status: int
) -> None:
    answer = served.ask("GET", f"/campaigns/{name}/events{query}", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_streams_end_with_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        make(served, "last")
        with watching(served, "last") as stream:
            stream.next("campaign")
            served.app.state.events.close()
            assert stream.next("end")[1] == {"reason": "stopped"}
