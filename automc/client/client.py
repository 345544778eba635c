"""The client of a server."""

from __future__ import annotations

from automc.workspace import Workspace


class Client(Workspace):
    """A workspace on a server.

    Args:
        url: the server's address.
        token: what it lets in; by default ``AUTOMC_TOKEN``.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Closes its connections."""
