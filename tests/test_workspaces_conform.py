"""Workspaces of this machine and of a server keep the same promises: one server, asked both ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import automc
from automc.campaigns.campaign import Campaign
from automc.campaigns.finish import drive
from automc.campaigns.storage import Storage
from automc.testing import WorkspaceConformance
from automc.workspace import Workspace, load_registry, local_workspace
from tests.servers import Service
from tests.storages import make


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("conform")
    registry = folder / "registry.yaml"
    registry.write_text(f"tasks: {{chain: {{task: '{Path(__file__).with_name('failing.py')}:Never'}}}}")
    with Service(folder, "--registry", str(registry)) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def busy(service: Service) -> Iterator[None]:
    """One campaign is under way, by this process, so that the server starts no other."""
    storage = Storage(service.storage)
    session = make(storage, "busy").drive()
    yield
    session.close()
    storage.close()


class _Both(WorkspaceConformance):
    task = "chain"
    config = {
        "budget": "macs<=50%",
        "agent": "random",
        "evaluations": 2,
        "finalists": 1,
        "space": {"channel_multiple": 2},
        "device": {"target": "roofline"},
    }
    service: Service

    @pytest.fixture(scope="class", autouse=True)
    def _there(self, request: pytest.FixtureRequest, service: Service) -> None:
        request.cls.service = service

    def finish(self, name: str) -> None:
        storage = Storage(self.service.storage)
        drive(Campaign(storage, name))
        storage.close()


class TestHere(_Both):
    def make(self) -> Workspace:
        folder = self.service.folder
        return local_workspace(self.service.storage, folder / "runs", load_registry(folder / "registry.yaml"))


class TestThere(_Both):
    def make(self) -> Workspace:
        return automc.Client(self.service.url)
