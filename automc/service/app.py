"""The application: the API under ``/api/v1``, health, and the dashboard."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp

import automc
from automc.campaigns.storage import Storage, sqlite_url
from automc.service import dashboard, problems
from automc.service.events import Events
from automc.service.line import Line
from automc.service.routes import campaigns, catalog, events, login, results, tables
from automc.service.security import Security
from automc.service.security.who import PREFIX
from automc.workspace import LocalWorkspace, Registry

GUARDED = problems.told(400, 401, 403, 408, 413, 421, 422, 429, 431, 503)
"""What any request of the API may be answered before a route sees it."""


class Service(FastAPI):
    """An application with security around all of it, its own faults included."""

    def build_middleware_stack(self) -> ASGIApp:
        """See FastAPI."""
        security: Security = self.state.security
        return security.around(super().build_middleware_stack())

    def openapi(self) -> dict[str, Any]:
        """See FastAPI; problems are problem+json and nothing else, for which it has no setting."""
        if self.openapi_schema is None:
            found = super().openapi()
            answers = [told["responses"] for path in found["paths"].values() for told in path.values()]
            for status, response in (item for each in answers for item in each.items()):
                if int(status) >= 400:
                    response["content"].pop("application/json", None)
        return super().openapi()


def make_app(workspace: LocalWorkspace, line: Line | None = None, security: Security | None = None) -> FastAPI:
    """Returns the application.

    Args:
        workspace: what it serves, opened to be served.
        line: starts campaigns that wait; None where nobody is to.
        security: who may ask; by default whoever is on this machine, as long as there are no tokens.

    Raises:
        ValueError: the workspace would show others what is its operator's own.
    """
    if not workspace.served:
        raise ValueError("the workspace is not opened to be served: served=True")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if line is not None:
            line.start()
        try:
            yield
        finally:
            if line is not None:
                line.stop()

    app = Service(
        title="AutoMC",
        version=automc.__version__,
        summary="Hardware-aware automatic model compression",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # FastAPI's page loads from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.workspace = workspace
    app.state.events = Events(workspace)
    app.state.security = security or Security()
    app.state.still_allowed = app.state.security.still_allowed
    # for the document only: the gate has looked before any route is called
    bearer = HTTPBearer(auto_error=False, description="A token: automc token create NAME --role reader|runner")
    api = APIRouter(prefix=PREFIX, responses=GUARDED, dependencies=[Depends(bearer)])
    for routes in (campaigns, events, results, tables, catalog, login):
        api.include_router(routes.router)
    app.include_router(api)
    app.include_router(login.pages)
    dashboard.install(app)
    problems.install(app)

    @app.get("/healthz", tags=["health"], summary="Whether the process lives")
    def healthz() -> dict[str, str]:
        return {"status": "ok", "version": automc.__version__}

    @app.get("/readyz", tags=["health"], summary="Whether it can answer", responses=problems.told(503))
    def readyz() -> dict[str, str]:
        workspace.storage.do(lambda storage: storage.get_all_studies())
        return {"status": "ready"}

    return app


def document() -> dict[str, Any]:
    """Returns the API's OpenAPI document, without a workspace."""
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(sqlite_url(Path(folder) / "none.db"))
        with LocalWorkspace(storage, Path(folder), Registry(), served=True) as workspace:
            return make_app(workspace).openapi()
