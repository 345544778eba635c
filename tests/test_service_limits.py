"""A server on loopback without tokens, and what it bears: small limits, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import Request
from fastapi.responses import StreamingResponse

from automc.cli.app import app as commands
from automc.errors import ConfigError, Conflict, NotFound
from automc.service.app import make_app
from automc.service.logs import WithoutSecrets
from automc.service.security import Limits, Security
from automc.service.security.headers import HEADERS
from automc.service.serve import make_server, serve
from automc.service.tokens import Damaged, Tokens
from automc.workspace import Registry, local_workspace
from tests.servers import until

LIMITS = Limits(campaigns=2, logins=2, streams=3, streams_each=2, body_seconds=0.5, header_seconds=0.5, connections=8)


class Small:
    """A server in this process."""

    def __init__(self, folder, limits: Limits) -> None:
        self.tokens = Tokens(folder / "service")
        self.workspace = local_workspace(f"sqlite:///{folder / 'x.db'}", folder, served=True)
        app = make_app(self.workspace, None, Security(self.tokens, limits=limits))

        @app.get("/api/v1/x/events")
        async def events(request: Request) -> StreamingResponse:
            async def ticks() -> AsyncIterator[str]:
                while await request.app.state.still_allowed(request):
                    yield "data: tick\n\n"
                    await asyncio.sleep(0.02)

            return StreamingResponse(ticks(), media_type="text/event-stream")

        @app.get("/api/v1/fault")
        def fault() -> None:
            raise RuntimeError("postgresql://user:hunter2@host/db")

        @app.get("/api/v1/page")
        def page() -> StreamingResponse:
            return StreamingResponse(iter(("x",)), headers={"Content-Security-Policy": "sandbox allow-scripts"})

        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20)
        self.server = make_server(app, limits)
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))
        self.thread.start()
        until(lambda: self.server.started)

    def close(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join()
        self.workspace.close()


@pytest.fixture
def small(tmp_path):
    found = Small(tmp_path, LIMITS)
    yield found
    found.close()


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_without_tokens_this_machine_may_do_all_and_other_sites_nothing(small: Small):
    ask = small.client
    assert ask.get("/api/v1/session").json() == {"name": "local", "role": "runner", "by": "nothing"}
    assert code(ask.post("/api/v1/campaigns/x/pause")) == (404, "not_found")
    for headers, expected in (
        ({"Origin": "https://evil.example"}, (403, "cross_site")),
        ({"Host": "evil.example"}, (421, "host")),
        ({"X-Forwarded-For": "10.1.2.3"}, (403, "proxied")),
    ):
        assert code(ask.post("/api/v1/campaigns/x/pause", headers=headers)) == expected
    assert code(ask.get("/api/v1/tasks", headers={"Sec-Fetch-Site": "cross-site"})) == (403, "cross_site")
    # the first token shuts the door, and with the last one it stays shut
    secret = small.tokens.create("first", "reader")[1]
    assert code(ask.get("/api/v1/tasks")) == (401, "token")
    assert ask.get("/api/v1/tasks", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    small.tokens.revoke("first")
    assert code(ask.get("/api/v1/tasks")) == (401, "token")
    small.tokens.path.write_text("{")
    assert code(ask.get("/api/v1/tasks", headers={"Authorization": f"Bearer {secret}"})) == (503, "tokens_damaged")
    assert code(ask.post("/login", data={"token": secret})) == (503, "tokens_damaged")


def test_who_asks_too_much_must_wait(small: Small):
    for _ in range(2):
        assert code(small.client.post("/api/v1/campaigns", json={})) == (422, "invalid")
    answer = small.client.post("/api/v1/campaigns", json={})
    assert code(answer) == (429, "too_many")
    assert 25 <= int(answer.headers["retry-after"]) <= 30
    for _ in range(300):  # by default hundreds a second are fine
        assert small.client.get("/healthz").status_code == 200


def test_failed_logins_are_counted(small: Small):
    secret = small.tokens.create("anna", "reader")[1]
    for _ in range(2):
        assert code(small.client.post("/login", data={"token": "wrong"})) == (401, "token")
    assert code(small.client.post("/login", data={"token": secret})) == (429, "too_many")


def test_streams_are_counted_and_end_with_their_token(small: Small):
    first, second = (small.tokens.create(name, "reader") for name in ("anna", "ben"))

    def stream(secret: str):
        return small.client.stream("GET", "/api/v1/x/events", headers={"Authorization": f"Bearer {secret}"})

    def refused(secret: str) -> bool:
        with stream(secret) as answer:
            return answer.status_code == 429 and "retry-after" in answer.headers

    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(stream(secret)) for secret in (first[1], first[1], second[1])]
        assert [one.status_code for one in opened] == [200] * 3
        assert refused(first[1]) and refused(second[1])
        lines = [one.iter_lines() for one in opened]
        assert [next(line) for line in lines] == ["data: tick"] * 3
        small.tokens.revoke("anna")
        assert set(lines[0]) <= {"data: tick", ""}  # it ends
        assert next(line for line in lines[2] if line) == "data: tick"
    until(lambda: not refused(second[1]))


def test_who_is_slow_is_not_waited_for(small: Small):
    def talk(sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", small.port), timeout=20) as connection:
            connection.sendall(sent)
            answer = b""
            while piece := connection.recv(1 << 16):
                answer += piece
        return answer

    head = b"POST /api/v1/campaigns HTTP/1.1\r\nHost: localhost\r\n"
    assert talk(b"") == b"" == talk(head)
    slow = talk(head + b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    assert slow.startswith(b"HTTP/1.1 408") and b'"slow"' in slow
    with contextlib.ExitStack() as stack:  # those who only hold connections open are thrown out
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", small.port), timeout=20))
        until(lambda: _answers(small.client))


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def test_faults_have_the_headers_too_and_routes_have_the_last_word(small: Small, caplog):
    answer = small.client.get("/api/v1/fault")
    assert code(answer) == (500, "bug") and "hunter2" not in answer.text
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    until(lambda: any(record.exc_info for record in caplog.records))  # it is logged after it was answered
    logged = "".join(WithoutSecrets().format(record) for record in caplog.records)
    assert "RuntimeError: postgresql://user:***@host/db" in logged and "hunter2" not in logged
    assert small.client.get("/api/v1/page").headers["content-security-policy"] == "sandbox allow-scripts"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("Cookie: automc_session=a:1:b; x=1", "Cookie: automc_session=***; x=1"),
        ("got automc_" + "x" * 43, "got automc_***"),
        ("host=x password=hunter2&a=b", "host=x password=***&a=b"),
    ],
)
def test_what_is_logged_has_no_secrets(text: str, shown: str):
    record = logging.LogRecord("x", logging.ERROR, "", 0, text, None, None)
    assert WithoutSecrets().format(record) == shown


@pytest.mark.parametrize("others", [{"host": "0.0.0.0"}, {"names": ["team.example"]}, {"proxy": "127.0.0.1"}], ids=str)
def test_others_are_not_served_without_a_token(others, tmp_path):
    asked = {"host": "127.0.0.1"} | others
    with pytest.raises(ConfigError, match="automc token create"):
        url, registry = f"sqlite:///{tmp_path / 'x.db'}", Registry()
        serve(port=0, storage=url, folder=tmp_path, registry=registry, first=None, ready=print, **asked)


def test_tokens_are_created_listed_and_revoked(capsys):
    def run(*words: str) -> str:
        commands(["token", *words], standalone_mode=False)
        return capsys.readouterr().out

    secret = run("create", "ci", "--role", "reader", "--days", "3").strip()
    assert (found := Tokens().find(secret)) and found.role == "reader" and found.expires
    made = json.loads(run("create", "dev", "--role", "runner", "--json"))
    listed = json.loads(run("list", "--json"))
    assert [one["last"] for one in listed] == [secret[-4:], made["token"][-4:]]
    assert secret not in Tokens().path.read_text() and Tokens().path.stat().st_mode & 0o777 == 0o600
    for name, error in (("ci", Conflict), ("local", ConfigError), ("a b", ConfigError), ("../x", ConfigError)):
        with pytest.raises(error):
            run("create", name, "--role", "reader")
    run("revoke", "ci")
    assert Tokens().find(secret) is None
    with pytest.raises(NotFound):
        run("revoke", "ci")
    for damaged in ("{", "[]", '{"version": 2}', '{"tokens": [{}]}', "[" * 100_000, "\x00"):
        Tokens().path.write_text(damaged)
        with pytest.raises(Damaged, match="tokens") as told:
            run("list")
        assert len(str(told.value).splitlines()) == 1


def test_two_who_create_tokens_at_once_lose_none():
    threads = [threading.Thread(target=Tokens().create, args=(f"t{number}", "reader")) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in Tokens().all()} == {f"t{number}" for number in range(12)}


def test_a_token_ends_when_it_said(tmp_path):
    tokens = Tokens(tmp_path)
    secret = tokens.create("short", "reader", days=0.3 / 86400)[1]
    until(lambda: tokens.find(secret) is None)
    assert tokens.all()[0].expired
