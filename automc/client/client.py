"""The client of a server."""

from __future__ import annotations

import os

from automc.client.campaigns import RemoteCampaigns
from automc.client.connection import PATIENCE, TOKEN, Connection
from automc.client.tables import RemoteCatalog, RemoteTables
from automc.workspace import Workspace


class Client(Workspace):
    """A workspace on a server (``automc serve``); any number of threads may ask.

    Args:
        url: the server's address, ``http://host:port``.
        token: what it lets in; by default ``AUTOMC_TOKEN``.
        patience: seconds for which questions are asked again when the server stops answering.

    Raises:
        ConfigError: the address is none, or the token cannot be one.

    Example::

        with automc.Client("http://127.0.0.1:8000") as client:
            request = CampaignRequest(task="digits", config={"budget": "latency<=60%"})
            name = client.campaigns.start(request).name
            for campaign in client.campaigns.watch(name):
                print(campaign.state, campaign.evaluations)
            client.campaigns.download(name, "recipe.yaml", Path("recipe.yaml"))
    """

    campaigns: RemoteCampaigns
    tables: RemoteTables
    catalog: RemoteCatalog

    def __init__(self, url: str, token: str | None = None, patience: float = PATIENCE) -> None:
        self._connection = Connection(url, token or os.environ.get(TOKEN) or None, patience)
        self.campaigns = RemoteCampaigns(self._connection)
        self.tables = RemoteTables(self._connection)
        self.catalog = RemoteCatalog(self._connection)

    def __repr__(self) -> str:
        return f"Client('{self._connection.url}')"

    def close(self) -> None:
        """Closes its connections."""
        self._connection.close()
