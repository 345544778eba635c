"""``automc campaign proxy``: one process in front of the database, for many."""

from __future__ import annotations

from typing import Annotated

import typer


def proxy(
    storage: Annotated[
        str | None,
        typer.Option(help="What to serve, sqlite:///FILE or postgresql://….  [default: $AUTOMC_STORAGE, or your own]"),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen: loopback, or a private network's address. No authentication.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Which port; 0 for any that is free.")] = 13000,
) -> None:
    """Serve a storage of campaigns to grpc://HOST:PORT, until Ctrl-C."""
    from automc.campaigns.proxy import serve_proxy
    from automc.campaigns.storage import default_storage

    serve_proxy(storage or default_storage(), host, port, lambda bound: typer.echo(f"grpc://{host}:{bound}"))
