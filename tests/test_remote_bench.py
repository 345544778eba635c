"""What a workbench does not take from a device far away."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from automc.devices import Device, line, time_models
from automc.devices.addresses import find_token
from automc.devices.protocol import PROTOCOL
from automc.devices.remote import RemoteBench
from automc.errors import AutoMCError, ConfigError, RuntimeFailure
from automc.latency_tables import open_target
from tests.remote import SECRET, saved


class Stranger(BaseHTTPRequestHandler):
    """Answers whatever a test says."""

    answers: ClassVar[dict[str, Any]] = {}

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = next((key for key in self.answers if f"{self.command} {self.path}".startswith(key)), "else")
        content = self.answers.get(name, {"state": "waiting", "steps": 0})
        if content is None:
            time.sleep(1.5)
            return
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = _answer

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


DESCRIPTION = {"protocol": PROTOCOL, "device": Device.local().model_dump(mode="json")}


@contextmanager
def stranger(answers: dict[str, Any]) -> Iterator[str]:
    handler = type("Handler", (Stranger,), {"answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (b"<html>hello</html>", "not as a device of AutoMC"),
        (b"\xff\xfe\x00", "not as a device of AutoMC"),
        (b"[]", "not as a device of AutoMC"),
        (b'{"protocol": NaN}', "not as a device of AutoMC"),
        ({}, "speaks protocol None, this AutoMC 1; install the same"),
        (DESCRIPTION | {"protocol": 99}, "speaks protocol 99, this AutoMC 1; install the same"),
        (DESCRIPTION | {"device": "x86"}, "makes no sense; install"),
        (DESCRIPTION | {"device": Device.local(7).model_dump(mode="json")}, "makes no sense; install"),
    ],
)
def test_what_is_no_device_is_named(device: Any, said: str) -> None:
    with stranger({"GET /device": device}) as url, pytest.raises(AutoMCError, match=f"{url}.* {said}") as caught:
        RemoteBench(url, token=SECRET)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        {"state": "done", "steps": 1},
        {"state": "done", "steps": 1, "answer": "fast"},
        {"state": "done", "steps": 1, "answer": []},
        {"state": "done", "steps": 1, "answer": {"us": [[[1.0]]]}},
        {"state": "done", "steps": 1, "answer": {"us": [[[1.0]]], "uj": [[1.0, 2.0]]}},
        {"state": "done", "steps": 1, "answer": {"us": [[[0.0]]], "uj": None}},
        {"state": "done", "steps": 1, "answer": {"us": [[[-1.0]]], "uj": None}},
        {"state": "done", "steps": 1, "answer": {"us": [[[1.0, 2.0]]], "uj": None}},
        {"state": "done", "steps": 1, "answer": {"us": [[["x"]]], "uj": None}},
        {"state": "done", "steps": 1, "answer": {"us": [[[1.0]], [[1.0]]], "uj": None}},
        b'{"state": "done", "steps": 1, "answer": {"us": [[[NaN]]], "uj": null}}',
        b'{"state": "done", "steps": 1, "answer": {"us": [[[1e999]]], "uj": null}}',
        {"state": "thinking", "steps": 0},
        {"state": "running"},
        {"state": "running", "steps": "many"},
        b"hello",
    ],
)
def test_measurements_that_make_no_sense_are_refused(answer: Any, tmp_path: Path) -> None:
    paths, inputs = saved(tmp_path / "m.onnx")
    with stranger({"GET /device": DESCRIPTION, "GET /jobs": answer}) as url:
        bench = RemoteBench(url, token=SECRET, patience=0.2)
        with pytest.raises(RuntimeFailure, match=url) as caught:
            time_models(bench, paths, inputs, runs=1, passes=1)
    assert "\n" not in str(caught.value)


def test_a_device_that_stops_answering_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_READ", 0.2)
    paths, inputs = saved(tmp_path / "m.onnx")
    with stranger({"GET /device": DESCRIPTION, "GET /jobs": None}) as url:
        bench = RemoteBench(url, token=SECRET, patience=0.3)
        with pytest.raises(RuntimeFailure, match=f"{url} has stopped answering .*no answer for 0.2 s"):
            time_models(bench, paths, inputs)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RuntimeFailure, match=f"{url} does not answer"):
            RemoteBench(url, token=SECRET)


def test_a_device_that_keeps_losing_a_measurement_is_given_up(tmp_path: Path) -> None:
    paths, inputs = saved(tmp_path / "m.onnx")
    answers = {"GET /device": DESCRIPTION, "PUT /jobs": {"state": "uploading", "steps": 0}}
    with stranger(answers | {"GET /jobs": {"state": "uploading", "steps": 0}}) as url:
        bench = RemoteBench(url, token=SECRET)
        with pytest.raises(RuntimeFailure, match=f"{url} lost this measurement 4 times"):
            time_models(bench, paths, inputs)


@pytest.mark.parametrize(
    "url",
    [
        "http://", "http://host:port", "http://host:99999999", "http://me:secret@host:1", "ftp://host:1",
        "http://a b:1", "http://host:1/path", "http://host:1?x=1", "://", "http://[::1", "http://host:1#x",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="looks like http://host:") as caught:
        RemoteBench(url, token=SECRET)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match=re.escape("unknown device 'lokal' (did you mean 'local'?)")):
        open_target("lokal")


def test_a_token_is_checked_where_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    for content in (b"", b"short", b"with spaces in between them", "\N{SNOWMAN}".encode() * 20, b"\xff" * 20):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=str(file)) as caught:
            find_token(file)
        assert not content or content.decode("latin-1") not in str(caught.value)
    with pytest.raises(ConfigError, match="none"):
        find_token(tmp_path / "none")
    monkeypatch.setenv("AUTOMC_DEVICE_TOKEN", "short")
    with pytest.raises(ConfigError, match="AUTOMC_DEVICE_TOKEN"):
        find_token()
