"""What a team shares: campaigns, latency tables and what there is to choose from. Here, or on a server."""

from typing import TYPE_CHECKING

from automc.lazily import lazily

if TYPE_CHECKING:
    from automc.workspace._base import Campaigns, Catalog, Tables, Workspace
    from automc.workspace.local import LocalWorkspace, local_workspace
    from automc.workspace.registry import Registry, load_registry
else:
    __getattr__ = lazily(
        __name__,
        {
            "_base": ["Campaigns", "Catalog", "Tables", "Workspace"],
            "local": ["LocalWorkspace", "local_workspace"],
            "registry": ["Registry", "load_registry"],
        },
    )

__all__ = [
    "Campaigns",
    "Catalog",
    "LocalWorkspace",
    "Registry",
    "Tables",
    "Workspace",
    "load_registry",
    "local_workspace",
]
