"""What is in ``deploy/`` is valid, keeps Ray and the database to itself, and its commands do what they are for."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
RAY_SERVICES = {"ray-head", "ray-worker", "campaign"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    return loaded


def checked(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_follows_the_specification() -> None:
    checked(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


def test_the_dockerfile_has_nothing_that_hadolint_warns_of() -> None:
    if (hadolint := shutil.which("hadolint", path=f"{BIN}:{os.environ['PATH']}")) is None:
        pytest.skip("hadolint is not there: PyPI has it for Linux only")
    checked(hadolint, "--failure-threshold", "warning", DEPLOY / "Dockerfile")


def test_the_cluster_file_follows_rays_schema(cluster: dict[str, Any]) -> None:
    validate_config(prepare_config(cluster))


def test_scripts_are_shell() -> None:
    checked("sh", "-n", DEPLOY / "on-cluster")


def test_no_port_is_published_and_all_share_one_network_that_nothing_enters(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", *RAY_SERVICES}
    for service in compose["services"].values():
        assert not {"ports", "network_mode", "privileged"} & set(service)
        assert service["networks"] == ["inside"]
    assert compose["networks"] == {"inside": {"internal": True}}


def test_every_node_asks_for_the_token_and_tells_nobody(compose: dict[str, Any]) -> None:
    for name in RAY_SERVICES:
        service = compose["services"][name]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
        assert service["environment"]["RAY_USAGE_STATS_ENABLED"] == "0"
        assert "ray_token" in service["secrets"]
        assert "shared:/automc" in service["volumes"]


def test_passwords_and_tokens_are_files_of_which_none_is_here(compose: dict[str, Any]) -> None:
    assert set(compose["secrets"]) == {"ray_token", "postgres_password", "pgpass"}
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    assert compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/deploy/secrets/" in ignored, "what is in deploy/secrets could be committed"


def test_nothing_starts_before_what_it_needs_is_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["postgres"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    needed = {
        (name, needs): how["condition"]
        for name in services
        for needs, how in services[name].get("depends_on", {}).items()
    }
    assert set(needed) == {("ray-worker", "ray-head"), ("campaign", "ray-head"), ("campaign", "postgres")}
    assert set(needed.values()) == {"service_healthy"}
    assert all("healthcheck" in services[needs] for _, needs in needed)


def test_the_image_has_only_what_it_installs_from_and_does_not_run_as_root() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert all((ROOT / path).exists() for path in allowed)
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [path for line in lines if line.startswith("COPY") for path in line.split()[1:-1] if path[0] != "-"]
    assert sorted(copied) == sorted(allowed)
    assert [line for line in lines if line.startswith("USER")] == ["USER automc"]


def test_the_cluster_launcher_asks_for_the_token_and_tells_nobody(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "./secrets/ray_token"
    starts = [
        line for kind in ("head", "worker") for line in cluster[f"{kind}_start_ray_commands"] if "ray start" in line
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 " in line for line in starts)


# What the commands do, outside of containers: nodes of one machine instead, and other ports.


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Nodes:
    """Commands of the compose file, run on this machine."""

    def __init__(self, compose: dict[str, Any], folder: Path) -> None:
        self._services, self._folder = compose["services"], folder
        self._port, self._client_port = free_port(), free_port()
        (folder / "token").write_text(f"{secrets.token_hex(32)}\n")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.environment |= {
            **{name: self._here(value) for name, value in self._services["ray-head"]["environment"].items()},
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_TMPDIR": str(folder),  # apart from other clusters on this machine
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, service: str, *more: str) -> subprocess.Popen[bytes]:
        """Starts a service's command."""
        definition = self._services[service]
        given = definition["command"] if not more else [DEPLOY / definition["entrypoint"][0], *more]
        command = [self._here(str(part)) for part in given]
        if command[0] == "ray":
            command += ["--object-store-memory=80000000", "--disable-usage-stats"]
        if "--head" in command:
            command += [f"--ray-client-server-port={self._client_port}", "--include-dashboard=false"]
        with (self._folder / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, cwd=self._folder)
        self._processes.append(process)
        return process

    def healthy(self) -> bool:
        """Runs the head's check."""
        _, *command = self._services["ray-head"]["healthcheck"]["test"]
        done = subprocess.run([self._here(part) for part in command], env=self.environment, capture_output=True)
        return done.returncode == 0

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kills a process and all below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait()

    def close(self) -> None:
        for process in self._processes:
            self.end(process)

    def _here(self, text: str) -> str:
        there = text.replace("ray-head:6379", f"127.0.0.1:{self._port}").replace("--port=6379", f"--port={self._port}")
        return there.replace("${AUTOMC_WORKER_CPUS:-1}", "1")


@pytest.fixture
def nodes(compose: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = Path("/tmp") / f"automc-{secrets.token_hex(4)}"  # sockets' paths are at most 107 long
    folder.mkdir(mode=0o700)
    running = Nodes(compose, folder)
    yield running
    running.close()
    shutil.rmtree(folder, ignore_errors=True)


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.5)


DRIVER = """
import ray, sys, time
for attempt in range(60):
    try:
        ray.init(address=sys.argv[1], log_to_driver=False)
        break
    except ConnectionError:
        time.sleep(1)
@ray.remote(num_cpus=1)
def processors():
    return ray.cluster_resources()["CPU"]
alive = sum(node["Alive"] for node in ray.nodes())
print(f"answered: {ray.get(processors.remote(), timeout=60):.0f} processor on {alive} nodes", flush=True)
"""


@pytest.mark.slow
def test_the_commands_start_a_cluster_and_what_drives_a_campaign_joins_the_next_head(nodes: Nodes) -> None:
    script = nodes._folder / "driver.py"
    script.write_text(DRIVER)
    address = nodes.environment["CLUSTER"]
    driver = f"while :; do {sys.executable} {script} {address}; sleep 2; done"
    log = nodes._folder / "campaign.log"
    head = nodes.start("ray-head")
    until(nodes.healthy, 60)
    worker = nodes.start("ray-worker")
    nodes.start("campaign", "sh", "-c", driver)

    def answers() -> int:
        return log.read_text().count("answered: 1 processor on 3 nodes") if log.exists() else 0

    until(lambda: answers() > 0, 180)
    token = nodes.environment["RAY_AUTH_TOKEN_PATH"]
    nodes.environment["RAY_AUTH_TOKEN_PATH"] = str(script)  # of which the first line is another token
    assert not nodes.healthy()
    nodes.environment["RAY_AUTH_TOKEN_PATH"] = token
    nodes.end(head)
    assert worker.wait(60) != 0, "it ends with its head, and is started again by its policy"
    nodes.start("ray-head")
    until(nodes.healthy, 60)
    nodes.start("ray-worker")
    seen = answers()
    until(lambda: answers() > seen, 120)
