"""What servers of AutoMC share: where they listen, and how they end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from automc.errors import ConfigError


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listens on an address.

    Args:
        host: the address.
        port: 0 for any that is free.

    Raises:
        ConfigError: it cannot be listened on.
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port") from None
    with listener:
        yield listener


def address(host: str, port: int) -> str:
    """Returns the URL of a server."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Server(uvicorn.Server):
    """Ends at a signal like at any other end; uvicorn's own would raise it again afterwards.

    Args:
        config: uvicorn's.
        ending: called when a signal came, before connections are closed: ends what would go on answering.
    """

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Has SIGINT and SIGTERM end it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        yield

    def _end(self, number: int) -> None:
        self._ending()
        self.handle_exit(number, None)
