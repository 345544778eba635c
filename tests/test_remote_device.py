"""Measuring on a device far away, over real sockets, with a server that has no PyTorch and no onnx."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from automc.campaigns.config import DeviceConfig
from automc.devices import Device, time_models
from automc.devices.addresses import TOKEN, TOKEN_FILE
from automc.devices.remote import RemoteBench
from automc.errors import AutoMCError, ConfigError, RuntimeFailure
from automc.latency_tables import Signature, open_target
from automc.latency_tables.measure import measure_entries
from tests.commands import run_command
from tests.remote import SECRET, Server, model, processes, saved, until

CONV = dict(n=(1,), hw=(8, 8), k=(3, 3), s=(1, 1), p=(1, 1), d=(1, 1), g=(1,))
SMALL = [
    Signature.of("conv+relu", (8, 8), **CONV),
    Signature.of("int8.conv", (8, 8), **CONV),
    Signature.of("quantize", (8,), before=(1,), after=(8, 8)),  # its graph comes back too
]
Timed = tuple[list[Path], list[dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("device"), "--forget-after", "60") as server:
        yield server


@pytest.fixture
def timed(tmp_path: Path) -> Timed:
    return saved(tmp_path / "model.onnx")


def brief(server: Server, timed: Timed) -> float:
    """Times a model once."""
    return time_models(server.bench(), timed[0], timed[1], runs=1, passes=1)[0].us


def endless(bench: RemoteBench, timed: Timed) -> None:
    """Times a model for longer than any test takes."""
    time_models(bench, timed[0], timed[1], "Timing it", runs=100, passes=100_000)


def start_endless(server: Server, timed: Timed) -> subprocess.Popen[bytes]:
    """Lets another workbench begin a measurement that does not end."""
    code = (
        "import pathlib; import numpy as np\n"
        "from automc.devices import open_bench, time_models\n"
        f"paths, inputs = [pathlib.Path({str(timed[0][0])!r})], [{{'x': np.zeros((1, 8), np.float32)}}]\n"
        f"time_models(open_bench({server.url!r}), paths, inputs, runs=100, passes=100_000)"
    )
    environment = os.environ | {TOKEN: SECRET, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)
    until(lambda: server.running() == 1)
    return process


def test_the_device_says_itself_what_it_is(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    bench = open_target(server.url, threads=2, batch=3)
    assert isinstance(bench, RemoteBench)
    assert bench.device == Device.local(2, 3)
    assert DeviceConfig(target=server.url + "/", threads=2).open().device == Device.local(2)


def test_models_and_operators_are_measured_there(server: Server, timed: Timed) -> None:
    bench = server.bench()
    (timing,) = time_models(bench, timed[0], timed[1], runs=3, passes=2)
    assert timing.runs == 6
    assert 0 < timing.low <= timing.us <= timing.high
    entries = measure_entries(bench, SMALL).entries
    assert set(entries) == set(SMALL)
    assert all(entry.us > 0 for entry in entries.values())
    assert server.ask("GET", "/health").json()["jobs"] == {"uploading": 0, "waiting": 0, "running": 0}


def test_commands_know_the_device_by_its_address(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(SECRET + "\n")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    done = run_command(("device", "show", server.url), monkeypatch, capsys)
    assert done.code == 0
    assert Device.local().processor in done.output
    monkeypatch.delenv(TOKEN_FILE)
    done = run_command(("device", "show", server.url), monkeypatch, capsys)
    assert done.code == 2
    assert TOKEN in done.line


def test_who_does_not_know_the_token_learns_nothing(server: Server, timed: Timed) -> None:
    with pytest.raises(ConfigError, match=re.escape(server.url) + ".* token") as caught:
        RemoteBench(server.url, token="wrong-horse-battery-staple")
    assert "horse" not in str(caught.value)
    for path in ("/health", "/device", "/jobs/x", "/none"):
        for given in ("", "Bearer", f"Basic {SECRET}", "Bearer \N{SNOWMAN}".encode()):
            answer = server.ask("GET", path, headers={"Authorization": given})
            assert (answer.status_code, answer.json()["code"]) == (401, "token")
    assert brief(server, timed) > 0
    assert SECRET not in server.output.read_text()


def test_a_token_is_made_and_told_once_where_none_is_given(tmp_path: Path) -> None:
    with Server(tmp_path, token=None) as server:
        (made,) = re.findall(rf"{TOKEN}=(\S+)", server.output.read_text())
        assert len(made) >= 20
        assert RemoteBench(server.url, token=made).device == Device.local()
        assert server.end() == 0
        assert server.output.read_text().count(made) == 1


@pytest.mark.parametrize(
    ("error", "cause"),
    [({"max-memory-mb": "400"}, "MB of memory"), ({"max-seconds": "2.5"}, "longer than the 2.5 s")],
    ids=["memory", "time"],
)
def test_a_measurement_over_a_limit_fails_and_the_next_does_not(
    tmp_path: Path, timed: Timed, error: dict[str, str], cause: str
) -> None:
    options = [part for name, value in error.items() for part in (f"--{name}", value)]
    with Server(tmp_path, *options) as server:
        large = helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [20_000, 20_000])
        nodes = [
            helper.make_node("ConstantOfShape", ["shape"], ["large"]),
            helper.make_node("ReduceMax", ["large"], ["one"], keepdims=0),
            helper.make_node("Add", ["x", "one"], ["y"]),
        ]
        bad = model(nodes, [large]) if "max-memory-mb" in error else model()
        onnx.save(bad, tmp_path / "bad.onnx")
        with pytest.raises(RuntimeFailure, match=cause) as caught:
            endless(server.bench(), ([tmp_path / "bad.onnx"], timed[1]))
        assert "\n" not in str(caught.value)
        assert server.url in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
        assert brief(server, timed) > 0


def test_a_child_that_is_killed_is_a_failure_of_its_job_only(server: Server, timed: Timed) -> None:
    def kill() -> None:
        until(lambda: bool(server.children()))
        os.kill(server.children()[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RuntimeFailure, match="SIGKILL"):
        endless(server.bench(), timed)
    killer.join()
    assert brief(server, timed) > 0


def test_one_is_measured_at_a_time_and_others_know_their_place(server: Server, timed: Timed) -> None:
    other = start_endless(server, timed)
    results: list[float] = []
    mine = threading.Thread(target=lambda: results.append(brief(server, timed)))
    mine.start()
    until(lambda: server.ask("GET", "/health").json()["jobs"] == {"uploading": 0, "waiting": 1, "running": 1})
    third = [("model0.onnx", model().SerializeToString())]
    path, answer = server.job(*third, inputs=0)
    assert (answer.json()["state"], answer.json()["before"]) == ("waiting", 2)
    assert len(server.children()) == 1
    server.ask("DELETE", path)
    other.send_signal(signal.SIGINT)  # Ctrl-C on that workbench: its measurement goes at once, not after the minute
    mine.join(timeout=30)
    assert results and results[0] > 0
    assert other.wait(timeout=20) != 0
    assert server.ask("GET", path).json()["code"] == "unknown_job"


def test_a_device_with_a_full_queue_says_so(tmp_path: Path, timed: Timed) -> None:
    with Server(tmp_path, "--max-jobs", "1") as server:
        path, answer = server.job()
        assert answer.json()["state"] == "uploading"
        with pytest.raises(RuntimeFailure, match=f"{server.url}.* busy.* try later"):
            brief(server, timed)
        server.ask("DELETE", path)
        assert brief(server, timed) > 0


def test_a_vanished_workbench_is_forgotten(tmp_path: Path, timed: Timed) -> None:
    with Server(tmp_path, "--forget-after", "2") as server:
        path, _ = server.job()  # began to send, and no more
        other = start_endless(server, timed)
        other.kill()
        other.wait()
        until(lambda: not server.children(), seconds=15)
        assert server.running() == 0
        until(lambda: not list((tmp_path / "there/device").glob("*/*")))
        assert server.ask("GET", path).status_code == 404
        # one that asks is not, however long its measurement takes
        time_models(server.bench(), timed[0], timed[1], runs=1000, passes=100)


def test_a_device_that_is_killed_and_comes_back_measures_anew(tmp_path: Path) -> None:
    entries: dict[Signature, Any] = {}
    with Server(tmp_path) as server:
        bench = server.bench()
        measuring = threading.Thread(target=lambda: entries.update(measure_entries(bench, SMALL).entries))
        measuring.start()
        until(lambda: bool(server.children()))
        orphans = server.children()
        server.process.kill()
        server.process.wait()
    assert not entries
    until(lambda: not set(orphans) & {pid for pid, _ in processes()}, seconds=15)  # no child outlives its server
    with Server(tmp_path, port=server.port):
        measuring.join(timeout=60)
        assert set(entries) == set(SMALL)


def test_a_device_that_stays_away_is_given_up(tmp_path: Path, timed: Timed) -> None:
    with Server(tmp_path) as server:
        bench = server.bench(patience=0.5)
        assert server.end() == 0
    with pytest.raises(RuntimeFailure, match=f"{server.url} has stopped answering .* within 0.5 s; start it again"):
        endless(bench, timed)
    with pytest.raises(RuntimeFailure, match=f"{server.url} does not answer .* `automc device serve`") as caught:
        RemoteBench(server.url, token=SECRET)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_ends_cleanly_and_its_child_with_it(tmp_path: Path, timed: Timed, number: int) -> None:
    with Server(tmp_path) as server:
        bench, failures = server.bench(patience=0.1), []

        def measure() -> None:
            try:
                endless(bench, timed)
            except AutoMCError as error:
                failures.append(error)

        measuring = threading.Thread(target=measure)
        measuring.start()
        until(lambda: bool(server.children()))
        children = server.children()
        assert server.end(number) == 0
        assert not set(children) & {pid for pid, _ in processes()}
        assert "Traceback" not in server.output.read_text()
        assert not list((tmp_path / "there/device").iterdir())
        measuring.join(timeout=20)
        assert len(failures) == 1
