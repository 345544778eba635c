"""The pages: templates without data, which scripts fill from the API."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

import automc
from automc.campaigns.config import SearchConfig
from automc.costs.units import STEPS, UNITS
from automc.evaluation.fidelity import TOLD
from automc.service.dashboard import assets

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

FACTS = {"steps": STEPS, "units": {metric: list(units) for metric, units in UNITS.items()}}
"""What scripts need of units: those that figures are shown in, and those that budgets may be written in."""


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("automc.service.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"sort_keys": False}  # a form's fields are in the schema's order
    return found


def _page(template: str, **values: Any) -> str:
    shared = {"assets": assets.BASE, "version": automc.__version__, "facts": FACTS}
    return _templates().get_template(f"{template}.html.j2").render(**shared, **values)


@router.get("/")
def campaigns() -> str:
    """All campaigns."""
    return _page("campaigns")


@router.get("/campaigns/new")
def new() -> str:
    """The form that starts one."""
    fidelities = [{"name": name, "what": what} for name, what in TOLD.items()]
    return _page("new", schema=SearchConfig.model_json_schema(), fidelities=fidelities)


@router.get("/campaigns/{name}")
@router.get("/campaigns/{name}/")  # one may be called new
def campaign(name: str) -> str:
    """One campaign."""
    return _page("campaign", name=name)


@router.get("/devices")
def devices() -> str:
    """Devices and latency tables."""
    return _page("devices")


@router.get("/tables/{table}")
def table(table: str) -> str:
    """One latency table."""
    return _page("table", table=table)


@router.get("/compare/tables")
def compare_tables() -> str:
    """Two latency tables, named by ``first`` and ``second``."""
    return _page("compare_tables")


@router.get("/recipes")
def recipes() -> str:
    """What campaigns have found."""
    return _page("recipes")


@router.get("/recipes/{name}")
def recipe(name: str) -> str:
    """What one campaign has found."""
    return _page("recipe", name=name)


@router.get("/compare/recipes")
def compare_recipes() -> str:
    """Two recipes, named by ``first`` and ``second``."""
    return _page("compare_recipes")


@router.get("/api")
def api() -> str:
    """The API's document to read."""
    return _page("api")


@router.get("/login")
def login(failed: str = "") -> str:
    """The form that asks for a token."""
    return _page("login", failed=bool(failed))


def missing() -> str:
    """What is shown at an address at which there is nothing."""
    return _page("missing")
