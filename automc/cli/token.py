"""``automc token``: who may use the service."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from automc.cli.output import JsonFlag, print_json, print_table

app = typer.Typer(help="Tokens: who may use the service (automc serve).", no_args_is_help=True)


class RoleName(StrEnum):
    """What a token allows."""

    reader = "reader"
    runner = "runner"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    role: Annotated[RoleName, typer.Option(help="reader: looks at everything; runner: changes things too.")],
    days: Annotated[
        int | None, typer.Option(help="How long it is worth something.  [default: for ever]", min=1, max=36500)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create a token and print it: this once, since only its digest is kept."""
    from automc.service.tokens import Tokens

    token, secret = Tokens().create(name, role.value, days)
    if as_json:
        print_json({"token": secret} | token.model_dump(mode="json", exclude={"sha256"}))
        return
    typer.echo(secret)
    until = "" if token.expires is None else f" until {token.expires:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{name}: a {role.value}{until}; it is never shown again. Its owner: export AUTOMC_TOKEN=…", err=True)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List the tokens, without what lets anybody in."""
    from automc.service.tokens import Tokens

    tokens = Tokens().all()
    if as_json:
        print_json([token.model_dump(mode="json", exclude={"sha256"}) for token in tokens])
        return
    rows = (
        (
            token.name,
            token.role,
            f"…{token.last}",
            f"{token.created:%Y-%m-%d}",
            "expired" if token.expired else f"{token.expires:%Y-%m-%d %H:%M}" if token.expires else "never",
        )
        for token in tokens
    )
    print_table("tokens", ["name", "role", "ends in", "created", "expires"], rows)


@app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="Whose it is.")], as_json: JsonFlag = False) -> None:
    """Revoke a token; a server that runs lets nobody in by it from now on."""
    from automc.service.tokens import Tokens

    tokens = Tokens()
    token = tokens.revoke(name)
    if as_json:
        print_json(token.model_dump(mode="json", exclude={"sha256"}))
        return
    typer.echo(f"{name} is revoked")
    if not tokens.all():
        typer.echo(
            f"no token is left, and nobody gets in; to go back to a service without tokens: rm {tokens.path}", err=True
        )
