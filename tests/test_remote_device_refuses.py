"""What a device far away does not take."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from automc.devices import Device, time_models
from automc.devices.protocol import PROTOCOL
from automc.errors import RuntimeFailure
from tests.remote import Server, bad_models, model, saved, wanted

GOOD = model().SerializeToString()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("device"), "--max-mb", "2", "--max-jobs", "100") as server:
        yield server


@pytest.mark.parametrize("name", ["absolute", "domain in a branch"])
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


def test_a_device_that_has_become_another_is_refused(server: Server, tmp_path: Path) -> None:
    paths, inputs = saved(tmp_path / "m.onnx")
    bench = server.bench()
    bench.device = bench.device.model_copy(update={"runtime": "onnxruntime 0.1"})
    with pytest.raises(RuntimeFailure, match=f"{server.url}: this is another device .*onnxruntime 0.1") as caught:
        time_models(bench, paths, inputs)
    assert "\n" not in str(caught.value)
