"""Running the server until it is told to end."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from automc import files
from automc.devices.addresses import TOKEN
from automc.devices.server.app import make_app
from automc.devices.server.jobs import JobQueue, Limits
from automc.devices.server.running import Server, address, listening


def serve(host: str, port: int, token: str, limits: Limits, ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        host: the address to listen on.
        port: 0 for any that is free.
        token: what a workbench must know.
        limits: what a workbench may use.
        ready: called with the address, once it listens.

    Raises:
        ConfigError: the address cannot be listened on, or there is no folder for files.
    """
    os.environ.pop(TOKEN, None)  # no child needs it
    with listening(host, port) as listener:
        port = listener.getsockname()[1]
        # whatever lies there is left from a server that was killed: nobody else listens on this port
        folder = files.home() / "device" / str(port)
        shutil.rmtree(folder, ignore_errors=True)
        files.ensure_writable(folder)
        folder.chmod(0o700)
        ready(address(host, port))
        try:
            asyncio.run(_serve(listener, folder, token, limits))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def _serve(listener: socket.socket, folder: Path, token: str, limits: Limits) -> None:
    queue = JobQueue(folder, limits)
    config = uvicorn.Config(
        make_app(queue, token),
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=64,
        timeout_graceful_shutdown=1,
    )
    await Server(config, queue.drop_all).serve([listener])  # whoever waits for a job is answered at a signal
