"""The service in a thread of this process, over real sockets; its campaigns are made up, and nobody drives them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from automc.service.app import make_app
from automc.service.security import Limits, Security
from automc.workspace import LocalWorkspace, Registry, local_workspace
from tests.servers import CAMPAIGN, until

BUSY = Limits(rate=10_000, burst=10_000, campaigns=10_000, uploads=10_000, streams_each=256)
"""Limits that no test of something else comes near."""


class Served:
    """What is served.

    Attributes:
        url: where.
        folder: of its storage.
        workspace: what.
        app: the application.
    """

    def __init__(self, workspace: LocalWorkspace, folder: Path) -> None:
        self.folder = folder
        self.workspace, self.app = workspace, make_app(workspace, security=Security(limits=BUSY))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(self.app, log_config=None, log_level="critical", timeout_graceful_shutdown=3)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request, below ``/api/v1`` unless the path begins with two slashes."""
        path = path[1:] if path.startswith("//") else f"/api/v1{path}"
        return httpx2.request(method, self.url + path, trust_env=False, timeout=30, **options)

    def start(self, headers: dict[str, str] | None = None, **changes: Any) -> httpx2.Response:
        """Asks for a short campaign."""
        return self.ask("POST", "/campaigns", json={**CAMPAIGN, **changes}, headers=headers)

    def stop(self) -> None:
        """Ends it."""
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def __enter__(self) -> Served:
        self._thread.start()
        until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._listener.close()


@contextmanager
def serving(folder: Path, url: str | None = None, **registry: Any) -> Iterator[Served]:
    """Serves a storage, by default one of the folder's, in which new campaigns write too."""
    where = url or f"sqlite:///{folder / 'campaigns.db'}"
    with (
        local_workspace(where, folder / "runs", Registry(**registry), served=True) as workspace,
        Served(workspace, folder) as served,
    ):
        yield served
