"""What all tests share: a home of their own, few threads, the same examples at every run."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, as the command line does
# no Ray of a test's is open to others, nor writes a token into the user's home; before Ray is loaded
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

import pytest
import torch
from hypothesis import HealthCheck, settings

from automc.tasks import Task, load_task
from tests.postgres import Postgres, binaries

torch.set_num_threads(1)

# busy machines: no deadline, and no complaint about slow drawing
settings.register_profile(
    "automc", derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("automc")


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home in which the built-in tasks' networks are trained, once a session."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "models").mkdir()
    return folder


@pytest.fixture(autouse=True)
def home(session_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `AUTOMC_HOME` of the test's own, empty but for the session's trained networks."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "models").symlink_to(session_home / "models")
    monkeypatch.setenv("AUTOMC_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def digits(session_home: Path) -> Task:
    """The digits task, its network trained: ``model()`` only loads it."""
    task = load_task("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMC_HOME", str(session_home))
        task.model()
    return task


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, where the machine has one."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 16 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
