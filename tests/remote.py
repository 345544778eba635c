"""A device far away: a server in a process of its own, in which all that a target need not have is barred."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
from onnx import TensorProto, helper

from automc.devices import Device
from automc.devices.addresses import TOKEN
from automc.devices.protocol import PROTOCOL
from automc.devices.remote import RemoteBench

SECRET = "correct-horse-battery-staple"
BARRED = (
    "torch onnx onnxscript scipy sklearn httpx2 torch_pruning optuna ray gymnasium pandas jinja2 plotly safetensors "
    "filelock sqlalchemy stable_baselines3 transformers"
).split()
START = f"import sys; sys.modules.update(dict.fromkeys({BARRED!r})); from automc.cli import main; main()"


class Server:
    """``automc device serve``; leaving the block ends it."""

    def __init__(self, folder: Path, *options: str, port: int = 0, token: str | None = SECRET) -> None:
        environment = os.environ | {"AUTOMC_HOME": str(folder / "there"), "OMP_NUM_THREADS": "1"}
        environment.pop(TOKEN, None)
        self.output = folder / f"output-{uuid.uuid4().hex}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-c", START, "device", "serve", "--port", str(port), *options],
                stdout=output,
                stderr=output,
                env=environment | ({TOKEN: token} if token else {}),
            )
        until(lambda: "listening on" in self.output.read_text() or self.process.poll() is not None)
        text = self.output.read_text()
        assert "listening on" in text, text
        self.url = text.split("listening on ")[1].split()[0]
        self.port = int(self.url.rsplit(":", 1)[1])

    def bench(self, **arguments: Any) -> RemoteBench:
        return RemoteBench(self.url, token=SECRET, **arguments)

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request of somebody who knows the token."""
        options["headers"] = {"Authorization": f"Bearer {SECRET}"} | options.get("headers", {})
        return httpx2.request(method, self.url + path, trust_env=False, timeout=20, **options)

    def job(self, *names_and_bytes: tuple[str, bytes], **changes: Any) -> tuple[str, httpx2.Response]:
        """Makes a job by hand and sends its files; returns its path and the last answer."""
        path = f"/jobs/{uuid.uuid4().hex}"
        answer = self.ask("PUT", path, content=json.dumps(wanted(**changes)))
        for name, content in names_and_bytes:
            if answer.is_success:
                answer = self.ask("PUT", f"{path}/{name}", content=content)
        return path, answer

    def running(self) -> int:
        return int(self.ask("GET", "/health").json()["jobs"]["running"])

    def children(self) -> list[int]:
        """The processes that measure."""
        return [pid for pid, parent in processes() if parent == self.process.pid]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def wanted(**changes: Any) -> dict[str, Any]:
    """A request for timing one model, with changes."""
    return {
        "protocol": PROTOCOL,
        "device": Device.local().model_dump(mode="json"),
        "action": "clock",
        "arguments": {"runs": 1, "passes": 1},
        "models": 1,
        "inputs": 1,
        "size": 1000,
    } | changes


def processes() -> list[tuple[int, int]]:
    """All processes and their parents; none where the platform does not say."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended
            continue
        if fields[0] != "Z":
            found.append((int(path.parent.name), int(fields[1])))
    return found


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def model(nodes: Sequence[onnx.NodeProto] = (), initializers: Sequence[onnx.TensorProto] = ()) -> onnx.ModelProto:
    """A model from ``x`` (1, 8) to ``y``, by default of one Relu."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in "xy"]
    nodes = nodes or [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def saved(path: Path) -> tuple[list[Path], list[dict[str, np.ndarray]]]:
    """A small model's file, and inputs of it."""
    onnx.save(model(), path)
    return [path], [{"x": np.zeros((1, 8), np.float32)}]


def external(location: str, name: str = "w") -> onnx.TensorProto:
    """A tensor whose data are said to lie in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[8], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


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
