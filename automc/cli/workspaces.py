"""Where commands look: at this machine, or at a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from automc.workspace import Catalog, Tables, Workspace

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


def has_campaigns(storage: str | None, server: str | None) -> bool:
    """Says whether there may be campaigns where a command looks: not before the first, of which the user's file is."""
    if server or storage:
        return True
    from automc import files
    from automc.campaigns.storage import default_storage, sqlite_url

    own = files.home() / "campaigns.db"
    return default_storage() != sqlite_url(own) or own.exists()


@contextmanager
def open_tables(server: str | None) -> Iterator[Tables]:
    """Opens the latency tables of a server, or, for None, the user's own."""
    if server is None:
        from automc.workspace import Registry
        from automc.workspace.tables import LocalTables

        yield LocalTables(Registry())
    else:
        with open_workspace(None, server) as there:
            yield there.tables


@contextmanager
def open_catalog(server: str | None) -> Iterator[Catalog]:
    """Opens what there is to choose from at a server, or, for None, on this machine."""
    if server is None:
        from automc.workspace import Registry
        from automc.workspace.catalog import LocalCatalog

        yield LocalCatalog(Registry())
    else:
        with open_workspace(None, server) as there:
            yield there.catalog


def only_here(**options: object) -> None:
    """Raises ConfigError where an option was given that is about this machine, while a server is asked.

    Args:
        **options: by name, with ``_`` for ``-``; what is None or False was not given.
    """
    from automc.errors import ConfigError

    given = [
        f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None and value is not False
    ]
    if given:
        raise ConfigError(f"{', '.join(given)}: about this machine only; leave it out, or leave out --server")
