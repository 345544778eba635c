"""Where commands look: at this machine, or at a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from automc.workspace import Workspace

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="AUTOMC_SERVER",
        help="Ask a server (automc serve) instead of this machine; its token is in AUTOMC_TOKEN.",
    ),
]


def open_workspace(storage: str | None, server: str | None) -> Workspace:
    """Opens the workspace that a command names.

    Args:
        storage: where campaigns are kept on this machine; None for the default.
        server: a server's address; None for this machine.

    Raises:
        ConfigError: there is none, or both were given.
    """
    from automc.errors import ConfigError

    if server is None:
        from automc.workspace import local_workspace

        own = local_workspace(storage, begin=False)
        own.campaigns.where = f" in {own.storage.url}"
        return own
    if storage is not None:
        raise ConfigError("--storage is about this machine, --server about another one: give one of them")
    from automc.client import Client

    return Client(server)
