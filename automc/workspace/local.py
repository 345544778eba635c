"""A workspace on this machine: a storage of campaigns, and the user's own tables."""

from __future__ import annotations

from pathlib import Path

from automc.campaigns.storage import Storage, default_storage
from automc.workspace._base import Workspace
from automc.workspace.campaigns import LocalCampaigns
from automc.workspace.catalog import LocalCatalog
from automc.workspace.registry import Registry
from automc.workspace.tables import LocalTables


class LocalWorkspace(Workspace):
    """See `Workspace`.

    Args:
        storage: where campaigns are kept; closed with the workspace.
        folder: where the files of new ones go.
        registry: what may be asked for.
        served: whether a service answers from it: others are not shown what is the operator's own.
    """

    campaigns: LocalCampaigns
    tables: LocalTables
    catalog: LocalCatalog

    def __init__(self, storage: Storage, folder: Path, registry: Registry, served: bool = False) -> None:
        self.storage, self.registry, self.served = storage, registry, served
        self.campaigns = LocalCampaigns(storage, folder, registry, served)
        self.tables = LocalTables(registry)
        self.catalog = LocalCatalog(registry)

    def close(self) -> None:
        """Closes the storage."""
        self.storage.close()


def local_workspace(
    url: str | None = None,
    folder: Path = Path("runs"),
    registry: Registry | None = None,
    begin: bool = True,
    served: bool = False,
) -> LocalWorkspace:
    """Opens a workspace on this machine.

    Args:
        url: where campaigns are kept; None for the user's own.
        folder: where the files of new ones go.
        registry: what may be asked for; by default the digits, and every agent.
        begin: whether SQLite's file is made where there is none.
        served: whether a service answers from it: others are not shown what is the operator's own, and they are told
            what is known instead of waiting for a database that went away.

    Raises:
        ConfigError: the storage cannot be opened.
    """
    storage = Storage(url or default_storage(), create=begin, waits=not served)
    return LocalWorkspace(storage, folder, registry or Registry(), served)
