"""The client against a server that answers what the test says: every problem is the right error, nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import automc
from automc.client import Client
from automc.errors import AutoMCError, ConfigError, Conflict, Invalid, NotFound, RuntimeFailure, TableError
from automc.workspace.answers import CampaignDetail, CampaignRequest

TOKEN = "secret-token-of-somebody"
DETAIL: dict[str, Any] = {
    "name": "one", "state": "running", "owner": "me", "task": "digits", "agent": "auto", "budget": ["macs<=50%"],
    "seed": 0, "evaluations": 0, "failed": 0, "under_way": 0, "cost_is": "macs", "seconds": 0, "worker_seconds": 0,
    "created": "2026-01-31T12:00:00Z", "config": {}, "limits": {}, "front": [], "front_over": ["macs"], "counts": {},
    "failures": [],
}  # fmt: skip


class Standin(ThreadingHTTPServer):
    """Gives the answers that it was told to, one after the other, the last again and again; keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    def tell(self, status: int, body: Any = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.answers.append((status, {key.replace("_", "-"): value for key, value in headers.items()}, content))


class _Handler(BaseHTTPRequestHandler):
    server: Standin

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        answers = self.server.answers
        status, headers, content = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == 0:  # hangs up
            self.close_connection = True
            return
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(content))} | headers).items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    monkeypatch.delenv("AUTOMC_TOKEN", raising=False)
    monkeypatch.setattr("automc.client.connection._PAUSE", 0.05)
    monkeypatch.setattr("automc.client.campaigns._PAUSE", 0.05)
    with Standin() as found:
        threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def client(server: Standin) -> Iterator[Client]:
    with automc.Client(server.url, TOKEN, patience=1.0) as found:
        yield found


def problem(status: int, code: str, detail: str = "it is so", *fields: tuple[str, str]) -> dict[str, Any]:
    mistakes = [{"field": where, "message": what} for where, what in fields]
    return {"type": "about:blank", "title": "", "status": status, "code": code, "detail": detail, "fields": mistakes}


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, problem(404, "not_found", "no campaign x"), NotFound, "no campaign x"),
        (409, problem(409, "conflict", "x is running"), Conflict, "x is running"),
        (422, problem(422, "invalid", "both", ("a", "b"), ("c", "d")), Invalid, "a: b; c: d"),
        (422, problem(422, "invalid", "no such metric"), ConfigError, "no such metric"),
        (422, problem(422, "invalid", "long", ("path.name", "too long")), NotFound, "nothing of that name"),
        (422, problem(422, "table", "damaged"), TableError, "damaged"),
        (502, problem(502, "device", "the board is off"), RuntimeFailure, "the board is off"),
        (401, problem(401, "unauthorized", "no"), ConfigError, "set AUTOMC_TOKEN to a token that its operator gave"),
        (403, problem(403, "forbidden", "readers only read"), ConfigError, "readers only read.*AUTOMC_TOKEN"),
        (413, problem(413, "too_large", "1 MiB at most"), ConfigError, "1 MiB at most"),
        (500, problem(500, "bug", "a fault of AutoMC"), ConfigError, "a fault of AutoMC"),
        (418, b"<html>teapot</html>", RuntimeFailure, "not as this AutoMC expects .HTTP 418"),
        (302, b"", RuntimeFailure, "HTTP 302"),
        (200, b"<html>", RuntimeFailure, "not as this AutoMC expects"),
        (200, {"name": "x"}, RuntimeFailure, "Field required"),
        (404, [1, 2], RuntimeFailure, "HTTP 404"),
        (422, {"detail": "x", "code": "invalid", "fields": None}, ConfigError, "x"),
    ],
)
def test_problems_are_the_errors_of_the_contract(
    server: Standin, client: Client, status: int, body: Any, kind: type[AutoMCError], message: str
) -> None:
    server.tell(status, body, Location="http://127.0.0.1:1/" if status == 302 else "")
    with pytest.raises(kind, match=message) as caught:
        client.campaigns.show("x")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value) and TOKEN not in str(caught.value)
    assert len(server.asked) == 1


def test_the_token_is_in_one_header_and_nowhere_else(server: Standin, client: Client) -> None:
    server.tell(200, DETAIL)
    client.campaigns.show("one")
    ((_, path, headers, body),) = server.asked
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in path + repr(body) + repr(client) + repr(vars(client)) + repr(vars(client.campaigns))
    for bad in ("with space", "line\nbreak", "ümlaut"):
        with pytest.raises(ConfigError, match="that is no token") as caught:
            Client(server.url, bad)
        assert bad not in str(caught.value)


def test_the_token_is_taken_from_the_environment(server: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    server.tell(200, [])
    monkeypatch.setenv("AUTOMC_TOKEN", TOKEN)
    with Client(server.url) as client:
        assert client.tables.all() == []
    assert server.asked[0][2]["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("url", ["", "host:1", "ftp://x", "http://u:p@h", "http://h/x?y", "http://h:x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="a server's address looks like") as caught:
        Client(url)
    assert "u:p" not in str(caught.value)


def test_nobody_there_is_one_line_at_once() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(RuntimeFailure, match="is `automc serve` running"):
        client.campaigns.show("x")


def test_who_is_busy_or_away_for_a_while_is_asked_again(server: Standin, client: Client) -> None:
    server.tell(429, problem(429, "rate"), Retry_After="0")
    server.tell(503, problem(503, "database_away"), Retry_After="0")
    server.tell(0)
    server.tell(200, DETAIL)
    assert client.campaigns.show("one").state == "running"
    assert len(server.asked) == 4


def test_who_stays_away_is_given_up(server: Standin, client: Client) -> None:
    server.tell(503, problem(503, "database_away", "the database does not answer"), Retry_After="0")
    with pytest.raises(RuntimeFailure, match="the database does not answer"):
        client.campaigns.show("one")
    assert len(server.asked) > 1


def test_what_cannot_be_asked_twice_is_not(server: Standin, client: Client) -> None:
    server.tell(0)
    with pytest.raises(RuntimeFailure, match="it may have been done all the same"):
        client.campaigns.resume("one")
    assert len(server.asked) == 1


def test_a_start_whose_answer_was_lost_is_asked_again_with_its_key(server: Standin, client: Client) -> None:
    server.tell(0)
    server.tell(201, DETAIL)
    client.campaigns.start(CampaignRequest(task="digits"))
    client.campaigns.start(CampaignRequest(task="digits"), "mine")
    first, again, other = (headers["Idempotency-Key"] for _, _, headers, _ in server.asked)
    assert first == again != other == "mine"


def test_a_deletion_whose_answer_was_lost_is_done(server: Standin, client: Client) -> None:
    server.tell(0)
    server.tell(404, problem(404, "not_found"))
    client.campaigns.delete("one")
    with pytest.raises(NotFound):
        client.campaigns.delete("one")


def event(kind: str, data: Any, cursor: str = "") -> bytes:
    return (f"id: {cursor}\n" if cursor else "").encode() + f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def stream(server: Standin, *events: bytes, length: str = "") -> None:
    server.tell(200, b": hello\n\n" + b"".join(events), Content_Type="text/event-stream", Content_Length=length)


def test_watching_goes_on_where_the_stream_broke_off(server: Standin, client: Client) -> None:
    one, two = DETAIL, DETAIL | {"evaluations": 1}
    stream(server, event("campaign", one), event("evaluation", {}, "c1"), event("campaign", two), length="9999")
    server.tell(0)
    stream(server, event("campaign", two), event("end", {"reason": "stopped"}))
    stream(server, event("campaign", DETAIL | {"state": "finished"}), event("end", {"reason": "finished"}))
    seen = [(found.state, found.evaluations) for found in client.campaigns.watch("one")]
    assert seen == [("running", 0), ("running", 1), ("finished", 0)]
    assert [headers.get("Last-Event-ID") for _, _, headers, _ in server.asked] == [None, "c1", "c1", "c1"]


def test_a_campaign_that_is_deleted_while_it_is_watched_is_not_found(server: Standin, client: Client) -> None:
    stream(server, event("campaign", DETAIL), event("end", {"reason": "deleted"}))
    server.tell(404, problem(404, "not_found", "no campaign one"))
    watched = client.campaigns.watch("one")
    assert next(watched) == CampaignDetail.model_validate(DETAIL)
    with pytest.raises(NotFound, match="no campaign one"):
        next(watched)


def test_a_download_is_whole_or_not_there(server: Standin, client: Client, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    server.tell(200, b"half", Content_Length="8")
    with pytest.raises(RuntimeFailure):
        client.campaigns.download("one", "model.onnx", target)
    assert target.read_bytes() == b"old"
    server.answers.clear()
    server.tell(200, b"half", Content_Length="8")
    server.tell(200, b"whole")
    assert client.campaigns.download("one", "model.onnx", target).read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["model.onnx"]
    client.campaigns.download("one", "one.campaign", target)
    assert [path for _, path, _, _ in server.asked][-2:] == [
        "/api/v1/campaigns/one/files/model.onnx",
        "/api/v1/campaigns/one/archive",
    ]


def test_names_stay_in_their_part_of_the_path(server: Standin, client: Client) -> None:
    server.tell(404, problem(404, "not_found"))
    for name in ("a/b?c#d", "%2e%2e", "../x"):
        with pytest.raises(NotFound):
            client.campaigns.show(name)
    assert [path for _, path, _, _ in server.asked] == [
        f"/api/v1/campaigns/{quoted}" for quoted in ("a%2Fb%3Fc%23d", "%252e%252e", "..%2Fx")
    ]
