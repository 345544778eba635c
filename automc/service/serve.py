"""Running the service until it is told to end."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from automc import files
from automc.campaigns.storage import default_storage
from automc.devices.server.running import Server, address, listening
from automc.errors import ConfigError
from automc.service.app import make_app
from automc.service.connections import protocol
from automc.service.line import Line
from automc.service.logs import log_to_stderr
from automc.service.security import Limits, Security
from automc.service.security.origin import is_loopback
from automc.service.tokens import Tokens
from automc.workspace import Registry, local_workspace
from automc.workspace.answers import CampaignRequest

_TURN = 0.001  # seconds for which a thread keeps the interpreter; by default, who answers would wait 5 ms for each look


def serve(
    host: str,
    port: int,
    storage: str | None,
    folder: Path,
    registry: Registry,
    first: CampaignRequest | None,
    ready: Callable[[str], None],
    names: Sequence[str] = (),
    proxy: str | None = None,
    limits: Limits | None = None,
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
        names: further names by which others ask for the server.
        proxy: the address of a reverse proxy, which is believed from whom a request is.
        limits: what the service bears.

    Raises:
        ConfigError: the address cannot be listened on, the storage not be opened, or others could ask and there is
            no token.
    """
    files.ensure_writable(folder)
    limits, tokens = limits or Limits(), Tokens()
    with (
        listening(host, port) as listener,
        local_workspace(storage, folder.resolve(), registry, served=True) as workspace,
    ):
        others = not is_loopback(listener.getsockname()[0]) or bool(names) or proxy is not None
        if not any(not token.expired for token in tokens.all()) and others:
            raise ConfigError(
                "others could ask this server and there is no token: automc token create NAME --role runner; "
                "or serve this machine only, without --host, --allowed-host and --proxy"
            )
        security = Security(tokens, others, [host, *names], limits)
        log_to_stderr()
        if first is not None and not workspace.campaigns.find().total:
            workspace.campaigns.start(first)
        app = make_app(workspace, Line(workspace, storage or default_storage()), security)
        gc.collect()
        gc.freeze()  # the libraries' objects stay for good: to look through them all takes a fifth of a second
        sys.setswitchinterval(_TURN)
        ready(address(host, listener.getsockname()[1]))
        make_server(app, limits, proxy, app.state.events.close).run([listener])


def make_server(
    app: ASGIApp, limits: Limits, proxy: str | None = None, ending: Callable[[], None] = lambda: None
) -> uvicorn.Server:
    """Returns what serves an application; see `serve`.

    Args:
        app: the application.
        limits: what it bears.
        proxy: the address of a reverse proxy.
        ending: called when a signal came: ends what would go on answering, as streams do.
    """
    config = uvicorn.Config(
        app,
        http=protocol(limits),
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        h11_max_incomplete_event_size=limits.header,
        timeout_graceful_shutdown=3,
    )
    return Server(config, ending)
