"""Running the service until it is told to end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from automc import files
from automc.campaigns.storage import default_storage
from automc.errors import ConfigError
from automc.service.app import make_app
from automc.service.line import Line
from automc.workspace import Registry, local_workspace
from automc.workspace.answers import CampaignRequest


def serve(
    host: str,
    port: int,
    storage: str | None,
    folder: Path,
    registry: Registry,
    first: CampaignRequest | None,
    ready: Callable[[str], None],
) -> None:
    """Serves until SIGINT or SIGTERM; campaigns that run go on.

    Args:
        host: the address to listen on.
        port: 0 for any that is free.
        storage: where campaigns are kept; None for the user's own.
        folder: where the files of new campaigns go.
        registry: what may be asked for.
        first: a campaign that is started where there is none yet.
        ready: called with the address, once it listens.

    Raises:
        ConfigError: the address cannot be listened on, or the storage not be opened.
    """
    files.ensure_writable(folder)
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port") from None
    with listener, local_workspace(storage, folder.resolve(), registry) as workspace:
        if first is not None and not workspace.campaigns.find().total:
            workspace.campaigns.start(first)
        app = make_app(workspace, Line(workspace, storage or default_storage()))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
        ready(f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run([listener])
