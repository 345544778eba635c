"""Running the server until it is told to end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from automc import files
from automc.devices.protocol import TOKEN
from automc.devices.server.app import make_app
from automc.devices.server.jobs import JobQueue, Limits
from automc.errors import ConfigError


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
    with _listening(host, port) as listener:
        port = listener.getsockname()[1]
        # whatever lies there is left from a server that was killed: nobody else listens on this port
        folder = files.home() / "device" / str(port)
        shutil.rmtree(folder, ignore_errors=True)
        files.ensure_writable(folder)
        folder.chmod(0o700)
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        try:
            asyncio.run(_serve(listener, folder, token, limits))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _Server(uvicorn.Server):
    """Ends at a signal like at any other end; uvicorn's own would raise it again afterwards."""

    def __init__(self, config: uvicorn.Config, queue: JobQueue) -> None:
        super().__init__(config)
        self._queue = queue

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        yield

    def _end(self, number: int) -> None:
        self._queue.drop_all()  # whoever waits for a job is answered now
        self.handle_exit(number, None)


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
    await _Server(config, queue).serve([listener])


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port") from None
    with listener:
        yield listener
