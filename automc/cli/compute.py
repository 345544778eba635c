"""Options that say who evaluates, beside the configuration."""

from __future__ import annotations

from typing import Annotated, Any

import typer

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Evaluations that run at once; more than one needs Ray.")
]
RayAddress = Annotated[
    str | None, typer.Option("--ray-address", help="The Ray cluster to run on.", metavar="HOST:PORT")
]


def compute_asked(workers: int | None, ray_address: str | None) -> dict[str, Any]:
    """Returns what the command line asks of `compute`."""
    asked = {"workers": workers, "ray_address": ray_address}
    return {key: value for key, value in asked.items() if value is not None}
