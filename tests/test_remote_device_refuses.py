"""What a device far away does not take, and what a workbench does not take from a device."""

from __future__ import annotations

import json
import pickle
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from automc.devices import Device, line, time_models
from automc.devices.protocol import PROTOCOL, find_token
from automc.devices.remote import RemoteBench
from automc.devices.server.onnx_bytes import DOMAINS, Refused, check_model
from automc.errors import AutoMCError, ConfigError, RuntimeFailure
from automc.latency_tables import Signature, open_target
from automc.latency_tables.micro import side_by_side
from tests.remote import SECRET, Server, external, model, saved, wanted

GOOD = model().SerializeToString()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("device"), "--max-mb", "2", "--max-jobs", "100") as server:
        yield server


def constant(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["w"], value=tensor)


def inside_a_branch(node: onnx.NodeProto) -> onnx.ModelProto:
    """A model whose branches have this node."""
    out = helper.make_tensor_value_info("z", TensorProto.FLOAT, [8])
    branch = helper.make_graph([node, helper.make_node("Identity", ["w"], ["z"])], "b", [], [out])
    truth = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    choice = helper.make_node("If", ["c"], ["b"], then_branch=branch, else_branch=branch)
    return model([choice, helper.make_node("Add", ["x", "b"], ["y"])], [truth])


def with_function(node: onnx.NodeProto, domain: str = "ai.onnx") -> onnx.ModelProto:
    """A model that has a function with this node."""
    made = model()
    made.functions.append(helper.make_function(domain, "f", [], ["w"], [node], [helper.make_opsetid("", 20)]))
    return made


def of_domain(domain: str) -> onnx.NodeProto:
    return helper.make_node("Own", ["x"], ["w"], domain=domain)


def bad_models() -> dict[str, tuple[onnx.ModelProto, str]]:
    add = helper.make_node("Add", ["x", "w"], ["y"])
    sparse = onnx.SparseTensorProto(values=external("other.bin"), dims=[8])
    with_sparse = model([add])
    with_sparse.graph.sparse_initializer.append(sparse)
    without_location = external("other.bin")
    without_location.data_location = TensorProto.DEFAULT
    data, domain = "external data", "domain 'own.domain'"
    return {
        "absolute": (model([add], [external("/etc/passwd")]), data),
        "above": (model([add], [external("../../../../../../etc/passwd")]), data),
        "beside": (model([add], [external("request.json")]), data),
        "named only": (model([add], [without_location]), data),
        "constant": (model([constant(external("/etc/passwd")), add]), data),
        "branch": (inside_a_branch(constant(external("/etc/passwd"))), data),
        "function": (with_function(constant(external("/etc/passwd"))), data),
        "sparse": (with_sparse, data),
        "domain": (model([of_domain("own.domain"), add]), domain),
        "domain in a branch": (inside_a_branch(of_domain("own.domain")), domain),
        "domain in a function": (with_function(of_domain("own.domain")), domain),
        "domain of a function": (with_function(constant(external("")), "own.domain"), domain),
        "the runtime's own": (model([of_domain("com.microsoft"), add]), "domain 'com.microsoft'"),
    }


@pytest.mark.parametrize("name", bad_models())
def test_a_model_that_could_read_or_run_more_is_refused(server: Server, name: str, tmp_path: Path) -> None:
    content, said = bad_models()[name]
    path, answer = server.job(("model0.onnx", content.SerializeToString()))
    assert (answer.status_code, answer.json()["code"]) == (422, "model")
    assert said in answer.json()["message"]
    assert server.ask("GET", path).status_code == 404
    onnx.save(content, tmp_path / "m.onnx")
    with pytest.raises(RuntimeFailure, match=f"Timing it: {server.url}: model 0 is refused: it has") as caught:
        time_models(server.bench(), [tmp_path / "m.onnx"], [{"x": np.zeros((1, 8), np.float32)}], "Timing it")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"\0" * 100, b"\xff" * 50, GOOD[:-3], GOOD + b"\x3b", b"PK\x03\x04", b"\x3a\x01"]
)
def test_what_is_no_model_is_refused(server: Server, content: bytes) -> None:
    _, answer = server.job(("model0.onnx", content))
    assert (answer.status_code, answer.json()["code"]) == (422, "model")
    assert "\n" not in answer.json()["message"]


def test_a_model_that_the_runtime_does_not_load_fails_in_one_line(server: Server, tmp_path: Path) -> None:
    onnx.save(model([helper.make_node("NoSuchOperator", ["x"], ["y"])]), tmp_path / "m.onnx")
    with pytest.raises(RuntimeFailure, match=f"NoSuchOperator.*{server.url}") as caught:
        time_models(server.bench(), [tmp_path / "m.onnx"], [{"x": np.zeros((1, 8), np.float32)}])
    assert "\n" not in str(caught.value)
    assert "there/device" not in str(caught.value)


def reached(message: Any, seen: set[str]) -> Iterator[tuple[str, int, str]]:
    """Yields message, field and what it holds, for all that may hold tensors, operators or domains of operators."""
    for field in message.fields:
        inner = field.message_type
        if inner is not None and inner.name not in seen:
            seen.add(inner.name)
            yield from reached(inner, seen)
        yield message.name, field.number, inner.name if inner else field.name


def test_every_way_to_a_tensor_and_a_domain_that_onnx_has_is_looked_at() -> None:
    found = set(reached(onnx.ModelProto.DESCRIPTOR, {"ModelProto"}))
    holders = {"TensorProto", "SparseTensorProto", "AttributeProto", "NodeProto", "GraphProto", "FunctionProto"}
    holders |= {"TrainingInfoProto"}
    ways = {way for way in found if way[2] in holders}
    from automc.devices.server import onnx_bytes

    names = dict(zip("model training function graph node attribute sparse tensor".split(), PROTOS, strict=True))
    looked = {(names[m], n, names[i]) for m, inside in onnx_bytes._INSIDE.items() for n, i in inside.items()}
    assert looked == ways
    assert {way[:2] for way in found if way[2] == "domain"} - {
        ("ModelProto", 4),  # the model's own name
        ("OperatorSetIdProto", 1),  # what operators may be of; whether one is, it says itself
        ("Opaque", 1),  # a type
    } == {(names[m], n) for m, n in onnx_bytes._DOMAIN.items()}


PROTOS = (
    "ModelProto TrainingInfoProto FunctionProto GraphProto NodeProto AttributeProto SparseTensorProto TensorProto"
).split()


def tensors_and_domains(message: Any) -> Iterator[Any]:
    """Yields all tensors of a message, and the domains of its operators and functions."""
    if isinstance(message, TensorProto):
        yield message
    if isinstance(message, onnx.NodeProto | onnx.FunctionProto):
        yield message.domain.encode()
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield from tensors_and_domains(each)


@settings(max_examples=300)
@given(st.sampled_from(sorted(bad_models())), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3))
def test_no_damage_hides_what_a_model_reads(tmp_path_factory: pytest.TempPathFactory, name: str, edits: Any) -> None:
    content = bytearray(bad_models()[name][0].SerializeToString())
    for place, value in edits:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    try:
        check_model(path)
    except Refused as error:
        assert "\n" not in str(error)
        return
    try:
        whole = onnx.load_model_from_string(bytes(content))
    except DecodeError:  # nor does the runtime read it
        return
    found = list(tensors_and_domains(whole))
    assert all(each in DOMAINS for each in found if isinstance(each, bytes))
    assert not any(each.external_data or each.data_location for each in found if isinstance(each, TensorProto))


def test_models_of_ours_are_let_through(tmp_path: Path) -> None:
    lines = (
        "int8.conv 8,8 d=1x1 g=1 hw=8x8 k=3x3 n=1 p=1x1 s=1x1",
        "linear 64,10 n=1",
        "quantize 8 after=4x4 before=1",
    )
    (tmp_path / "m.onnx").write_bytes(side_by_side([Signature.parse(line) for line in lines]))
    check_model(tmp_path / "m.onnx")
    onnx.save(
        inside_a_branch(constant(helper.make_tensor("w", TensorProto.FLOAT, [8], [1.0] * 8))), tmp_path / "m.onnx"
    )
    check_model(tmp_path / "m.onnx")


def test_what_is_too_large_is_refused_before_it_is_there(server: Server, tmp_path: Path) -> None:
    big = b"\0" * (3 << 20)
    _, answer = server.job(size=3 << 20)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    _, answer = server.job(("model0.onnx", big))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    path, _ = server.job()
    sent = []

    def parts() -> Iterator[bytes]:  # of no declared length
        for _ in range(48):
            sent.append(1)
            yield big[: 1 << 16]

    answer = server.ask("PUT", f"{path}/model0.onnx", content=parts())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    # the limit is for all files together
    path, answer = server.job(("inputs0.npz", big[: 3 << 19]), ("model0.onnx", big[: 3 << 19]))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    answer = server.ask("PUT", "/jobs/" + "0" * 32, content=b"[" * (2 << 20))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    large = helper.make_tensor("w", TensorProto.FLOAT, [1, 8 << 17], np.zeros(8 << 17, np.float32))
    onnx.save(model([], [large]), tmp_path / "m.onnx")
    with pytest.raises(RuntimeFailure, match=f"{server.url}: it is too large: 4 MB, this device takes 2"):
        time_models(server.bench(), [tmp_path / "m.onnx"], [{"x": np.zeros((1, 8), np.float32)}])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "malformed"),
        (b"{", 422, "malformed"),
        (b"[" * 100_000, 422, "malformed"),
        (b"\xff\xfe", 422, "malformed"),
        (b"[1]", 409, "protocol"),
        (wanted(protocol=PROTOCOL + 1), 409, "protocol"),
        (wanted(device={}), 422, "malformed"),
        (wanted(device=Device.local().model_dump(mode="json") | {"processor": "another"}), 409, "device"),
        (wanted(device=Device.local(10**6).model_dump(mode="json")), 422, "malformed"),
        (wanted(action="predict"), 422, "malformed"),
        (wanted(action="nodes"), 422, "malformed"),
        (wanted(arguments={"models": ["/etc/passwd"]}), 422, "malformed"),
        (wanted(arguments={"answer": "x"}), 422, "malformed"),
        (wanted(arguments={"runs": "/etc/passwd"}), 422, "malformed"),
        (wanted(arguments={"runs": [{"deep": "..\\x"}]}), 422, "malformed"),
        (json.dumps(wanted(arguments={"runs": float("nan")})).encode(), 422, "malformed"),
        (wanted(models=0), 422, "malformed"),
        (wanted(models=10**9), 422, "malformed"),
        (wanted(size=-1), 422, "malformed"),
        (wanted(more=1), 422, "malformed"),
    ],
)
def test_a_malformed_request_is_answered_in_one_line(server: Server, body: Any, status: int, code: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = server.ask("PUT", "/jobs/" + "0" * 32, content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert 0 < len(answer.json()["message"]) < 600
    assert "\n" not in answer.json()["message"]


def test_paths_and_numbers_that_make_no_sense_are_refused(server: Server) -> None:
    path, _ = server.job()
    for method, asked, status in (
        ("GET", "/nothing", 404),
        ("POST", "/device", 405),
        ("GET", "/jobs/" + "1" * 32, 404),
        ("GET", "/device?threads=0", 422),
        ("GET", "/device?threads=1e9", 422),
        ("GET", "/device?batch=99999", 422),
        ("GET", f"{path}?wait=x", 422),
        ("PUT", f"{path}/other.onnx", 404),
        ("PUT", f"{path}/..%2f..%2fother", 404),
        ("PUT", "/jobs/..%2f..%2fother", 404),
        ("PUT", "/jobs/other", 422),
    ):
        answer = server.ask(method, asked, content=json.dumps(wanted()) if method == "PUT" else None)
        assert answer.status_code == status, asked
        assert set(answer.json()) == {"code", "message"}


class Evil:
    def __reduce__(self) -> Any:
        return open, ("evil", "w")


@pytest.mark.parametrize("kind", ["pickled array", "pickle", "nothing", "other names"])
def test_inputs_that_are_no_plain_arrays_fail_their_job(server: Server, tmp_path: Path, kind: str) -> None:
    np.savez(tmp_path / "i.npz", x=np.array([Evil()], dtype=object))
    content = {"pickled array": (tmp_path / "i.npz").read_bytes(), "pickle": pickle.dumps({"x": 1}), "nothing": b""}
    if kind == "other names":
        np.savez(tmp_path / "i.npz", z=np.zeros((1, 8), np.float32))
    path, answer = server.job(
        ("model0.onnx", GOOD), ("inputs0.npz", content.get(kind) or (tmp_path / "i.npz").read_bytes())
    )
    while answer.json()["state"] in ("waiting", "running"):
        answer = server.ask("GET", f"{path}?wait=2")
    assert answer.json()["state"] == "failed"
    assert "\n" not in answer.json()["message"]
    assert not list(tmp_path.rglob("evil"))
    assert not Path("evil").exists()


# What a workbench does not take


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
        {"state": "done", "steps": 1, "answer": [[[0.0]]]},
        {"state": "done", "steps": 1, "answer": [[[-1.0]]]},
        {"state": "done", "steps": 1, "answer": [[[1.0, 2.0]]]},
        {"state": "done", "steps": 1, "answer": [[["x"]]]},
        {"state": "done", "steps": 1, "answer": [[[1.0]], [[1.0]]]},
        b'{"state": "done", "steps": 1, "answer": [[[NaN]]]}',
        b'{"state": "done", "steps": 1, "answer": [[[1e999]]]}',
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


def test_a_device_that_has_become_another_is_refused(server: Server, tmp_path: Path) -> None:
    paths, inputs = saved(tmp_path / "m.onnx")
    bench = server.bench()
    bench.device = bench.device.model_copy(update={"runtime": "onnxruntime 0.1"})
    with pytest.raises(RuntimeFailure, match=f"{server.url}: this is another device .*onnxruntime 0.1") as caught:
        time_models(bench, paths, inputs)
    assert "\n" not in str(caught.value)


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
