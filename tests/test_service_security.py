"""Attacks on a server with tokens, a real process over real sockets. docs/security.md lists what is answered."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from automc.errors import AutoMCError, TableError
from automc.service.app import make_app
from automc.service.security import Security
from automc.service.security.headers import HEADERS
from automc.service.security.sessions import Sessions
from automc.service.tokens import Tokens
from automc.workspace import Registry, local_workspace
from automc.workspace.tables import LocalTables
from tests.servers import Service


class Guarded(Service):
    """A server with tokens: a reader's, a runner's, and one whose time is over."""

    def __init__(self, folder: Path) -> None:
        self.tokens = Tokens(folder / "home" / "service")
        self.reader = self.tokens.create("anna", "reader")[1]
        self.runner = self.tokens.create("ben", "runner")[1]
        self.expired = self.tokens.create("old", "runner", days=0)[1]
        super().__init__(folder)
        self.port = int(self.url.rsplit(":", 1)[1])

    def by(self, secret: str, method: str, path: str, **options):
        headers = {"Authorization": f"Bearer {secret}"} | options.pop("headers", {})
        return self.ask(method, path, headers=headers, **options)

    def raw(self, request: bytes) -> tuple[int, str, str]:
        """Sends bytes; returns status, headers and body of what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            answer, length = b"", None
            while (length is None or len(answer) < length) and (piece := connection.recv(1 << 16)):
                answer += piece
                if length is None and (found := re.search(rb"content-length: (\d+)\r\n", answer)):
                    length = answer.index(b"\r\n\r\n") + 4 + int(found[1])
        head, _, body = answer.decode().partition("\r\n\r\n")
        return int(head.split()[1]), head, body

    def line(self, line: str, *headers: str, body: bytes = b"") -> tuple[int, str, str]:
        """Sends a request as it is written, as a runner."""
        lines = [f"{line} HTTP/1.1", "Host: localhost", "Connection: close", f"Authorization: Bearer {self.runner}"]
        return self.raw("\r\n".join([*lines, *headers, "", ""]).encode() + body)

    def log_in(self, secret: str):
        return self.ask("POST", "//login", data={"token": secret})

    def audit(self) -> list[dict]:
        return [json.loads(line) for line in (self.tokens.folder / "audit.log").read_text().splitlines()]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Guarded(tmp_path_factory.mktemp("guarded")) as found:
        yield found


def code(answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def test_only_a_token_lets_in(service: Guarded):
    forged = service.runner[:-1] + ("a" if service.runner[-1] != "a" else "b")
    for headers in (
        {},
        {"Authorization": f"Bearer {forged}"},
        {"Authorization": f"Bearer {service.expired}"},
        {"Authorization": f"Basic {service.runner}"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {service.tokens.all()[1].sha256}"},
        {"Cookie": f"automc_session={service.runner}"},
        {"Cookie": f"automc_session=ben:{int(time.time()) + 999}:{'0' * 64}"},
    ):
        answer = service.ask("GET", "/tasks", headers=headers)
        assert code(answer) == (401, "token"), headers
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert service.by(service.reader, "GET", "/session").json() == {"name": "anna", "role": "reader", "by": "token"}
    assert service.ask("GET", "//healthz").status_code == service.ask("GET", "//readyz").status_code == 200


def test_a_revoked_token_is_worth_nothing_at_once(service: Guarded):
    secret = service.tokens.create("gone", "runner")[1]
    cookie = service.log_in(secret).headers["set-cookie"].split(";")[0]
    assert service.by(secret, "GET", "/tasks").status_code == 200
    assert service.ask("GET", "/tasks", headers={"Cookie": cookie}).status_code == 200
    service.tokens.revoke("gone")
    assert code(service.by(secret, "GET", "/tasks")) == (401, "token")
    service.tokens.create("gone", "runner")  # another of the same name brings no session back
    assert code(service.ask("GET", "/tasks", headers={"Cookie": cookie})) == (401, "token")


def test_a_reader_changes_nothing(service: Guarded, tmp_path: Path):
    tokens = Tokens(tmp_path / "service")
    with local_workspace(f"sqlite:///{tmp_path / 'x.db'}", tmp_path, served=True) as workspace:
        routes = iter_route_contexts(make_app(workspace, None, Security(tokens)).routes)
        asked = {(method, str(route.path)) for route in routes for method in route.methods or ()}
    unsafe = {one for one in asked if one[0] not in ("GET", "HEAD")}
    open_ = {("POST", "/login"), ("POST", "/logout")}
    queries = {("POST", "/api/v1/tables/{table}/query"), ("POST", "/api/v1/tables/{table}/network")}
    assert open_ | queries < unsafe
    assert len(unsafe) >= 9
    for method, path in sorted(unsafe - open_ - queries):
        answer = service.by(service.reader, method, "/" + re.sub(r"{\w+}", "x", path))
        assert code(answer) == (403, "role"), (method, path)
    for method, path in queries:
        body = {"operators": ["x"]} if path.endswith("query") else {"task": "digits"}
        assert code(service.by(service.reader, method, "/" + path.format(table="x"), json=body)) == (404, "not_found")
    for method, path in {one for one in asked - unsafe if one[1].startswith("/api/")}:
        assert service.ask(method, "/" + re.sub(r"{\w+}", "x", path)).status_code == 401, path


def test_browsers_log_in_and_out(service: Guarded):
    assert code(service.log_in("automc_" + "x" * 43)) == (401, "token")
    answer = service.log_in(service.runner)
    assert answer.json() == {"name": "ben", "role": "runner", "by": "cookie"}
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(attributes)
    assert service.runner not in cookie
    assert Sessions(Tokens(service.tokens.folder)).find(
        cookie.partition("=")[2].strip('"')
    )  # a restart logs nobody out
    me = {"Cookie": cookie}
    assert service.ask("GET", "/session", headers=me).json()["by"] == "cookie"
    assert code(service.ask("POST", "/campaigns/x/pause", headers=me)) == (403, "cross_site")
    assert code(service.ask("POST", "/campaigns/x/pause", headers=me | {"X-AutoMC": "1"})) == (404, "not_found")
    other = {"Cookie": cookie.replace("ben", "anna")}
    assert code(service.ask("GET", "/session", headers=other)) == (401, "token")
    form = service.ask("POST", "//login", data={"token": service.reader}, headers={"Accept": "text/html"})
    assert (form.status_code, form.headers["location"]) == (303, "/")
    left = service.ask("POST", "//logout", headers=me)
    assert left.status_code == 204 and "Max-Age=0" in left.headers["set-cookie"]
    page = service.ask("GET", "//", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
    ],
    ids=str,
)
def test_pages_of_other_sites_change_nothing(service: Guarded, headers):
    assert code(service.by(service.runner, "POST", "/campaigns/x/pause", headers=headers)) == (403, "cross_site")
    assert code(service.ask("POST", "//login", data={"token": service.runner}, headers=headers)) == (403, "cross_site")
    own = {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
    assert code(service.by(service.runner, "POST", "/campaigns/x/pause", headers=own)) == (404, "not_found")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "10.0.0.1"])
def test_a_name_that_leads_here_by_fraud_is_refused(service: Guarded, host: str):
    assert code(service.by(service.runner, "GET", "/tasks", headers={"Host": host})) == (421, "host")
    assert service.by(service.runner, "GET", "/tasks", headers={"Host": "localhost:1"}).status_code == 200


OUT = ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e/etc/passwd", "..%5c..%5cx", "%2fetc%2fpasswd", "x%00"]


@pytest.mark.parametrize("path", OUT)
def test_no_path_leads_out(service: Guarded, path: str):
    for line in (
        f"GET /api/v1/campaigns/{path}",
        f"DELETE /api/v1/campaigns/{path}?files=true",
        f"GET /api/v1/campaigns/x/files/{path}",
        f"GET /api/v1/tables/{path}",
        f"GET /api/v1/tables/{path}/file",
        f"GET /static/{path}",
    ):
        status, head, body = service.line(line)
        assert status in (400, 404, 405, 422), (line, head)  # 405 where ".." is another route's name
        assert "root:" not in body
        assert json.loads(body)["status"] == status


def test_bodies_have_a_limit(service: Guarded):
    declared = service.line("POST /api/v1/campaigns", "Content-Length: 1048577", "Content-Type: application/json")
    assert declared[0] == 413 and '"too_large"' in declared[2]
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    chunked = service.line(
        "POST /api/v1/campaigns",
        "Transfer-Encoding: chunked",
        "Content-Type: application/json",
        body=piece * 17 + b"0\r\n\r\n",
    )
    assert chunked[0] == 413 and '"too_large"' in chunked[2]
    assert service.line("POST /api/v1/tables", f"Content-Length: {(16 << 20) + 1}")[0] == 413
    assert code(service.ask("POST", "/campaigns", content=b"x" * (2 << 20))) == (401, "token")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"task": "digits", "config": ' + b'{"a": ' * 100_000, (400, "too_deep")),
        (b"[" * 65 + b"]" * 65, (400, "too_deep")),
        (b'{"task": "' + b'\\"[' * 300_000, (400, "malformed")),
        (
            b'{"task": "digits", "name": "<script>alert(1)</script>"}',
            (422, "invalid"),
        ),
        (b'{"task": "digits", "name": "x\\r\\nSet-Cookie: a=b", "config": {"budget": "macs<=40%"}}', (422, "invalid")),
        (b'{"task": "digits", "name": "..", "config": {"budget": "macs<=40%"}}', (422, "invalid")),
    ],
)
def test_malicious_json_is_refused(service: Guarded, body: bytes, expected):
    answer = service.by(
        service.runner, "POST", "/campaigns", content=body, headers={"Content-Type": "application/json"}
    )
    assert code(answer) == expected


def test_a_head_has_a_limit_and_brings_no_other(service: Guarded):
    assert service.line("GET /api/v1/tasks", "X-Large: " + "x" * 15_000)[0] == 200
    assert service.line("GET /api/v1/tasks", "X-Large: " + "x" * 17_000)[0] in (400, 431)
    assert service.line("GET /api/v1/tasks?" + "x" * 17_000)[0] in (400, 431)
    for line, *headers in (
        ("GET /api/v1/tasks", "X-A: a\rX-B: b"),
        ("GET /api/v1/tasks", "Host: localhost"),
        ("POST /api/v1/campaigns", "Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 6"),
    ):
        status, head, body = service.line(line, *headers)
        assert (status, json.loads(body)["code"]) == (400, "malformed")
        assert "content-security-policy" in head
    status, head, _ = service.line("GET /api/v1/campaigns/x%0d%0aX-Evil:%20yes")
    assert status == 404 and "x-evil" not in head.lower()


def test_every_answer_has_the_headers(service: Guarded):
    for answer in (
        service.by(service.reader, "GET", "/tasks"),
        service.by(service.reader, "GET", "/none"),
        service.ask("GET", "/tasks"),
        service.ask("GET", "//healthz"),
    ):
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in answer.headers


def billion(times: int) -> str:
    return "\n".join(f"m{i}: &m{i} {{{f'<<: [*m{i - 1}, *m{i - 1}], ' if i else ''}k: 1}}" for i in range(times))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [" + "1," * 600_000 + "1]", "larger than"),
        ("a0: &a0 [x,x]\n" + "\n".join(f"a{i}: &a{i} [{f'*a{i - 1},' * 9}]" for i in range(1, 12)), "larger than"),
        (billion(40), "larger than"),
        ("{a: " * 50_000, "nested more than"),
        ("- " * 50_000 + "a", "nested more than"),
        ("a: &a {<<: *a}", "contains itself"),
        ("version: " + ":".join(["59"] * 100_000), "hundreds of digits"),
        ("version: " + "9" * 200, "version"),
        ("version: 2026-13-45", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>', "expected keys and values"),
    ],
    ids=["wide", "laughs", "merges", "deep", "dashes", "self", "sixties", "digits", "date", "python", "entity"],
)
def test_a_malicious_table_is_refused(text: str, said: str):
    with pytest.raises(TableError, match=said) as error:
        LocalTables(Registry()).add(text)
    assert isinstance(error.value, AutoMCError) and len(str(error.value).splitlines()) == 1


def test_who_did_what_is_written_down_without_secrets(service: Guarded):
    cookie = service.log_in(service.runner).headers["set-cookie"].split(";")[0].partition("=")[2]
    service.by(service.runner, "POST", "/campaigns/late/pause")
    service.by(service.reader, "DELETE", "/campaigns/late")
    service.by(service.runner, "POST", "/tables/x/query", json={"operators": ["x"]})
    name = service.by(
        service.runner, "POST", "/campaigns", json={"task": "digits", "config": {"budget": "macs<=40%"}}
    ).json()["name"]
    *_, login, pause, refused, start = service.audit()
    assert (login["path"], login["who"], login["status"]) == ("/login", "ben", 200)
    assert (pause["method"], pause["campaign"], pause["who"], pause["status"]) == ("POST", "late", "ben", 404)
    assert (refused["method"], refused["who"], refused["status"], refused["address"]) == (
        "DELETE",
        "anna",
        403,
        "127.0.0.1",
    )
    assert (start["campaign"], start["status"]) == (name, 201)
    assert (service.tokens.folder / "audit.log").stat().st_mode & 0o777 == 0o600
    written = service.output.read_text() + (service.tokens.folder / "audit.log").read_text()
    for secret in (service.runner, service.reader, service.expired, cookie, cookie.rsplit(":", 1)[1]):
        assert secret not in written
