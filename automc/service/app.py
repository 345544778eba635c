"""The application: the API under ``/api/v1``, health, and the dashboard."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI

import automc
from automc.campaigns.storage import Storage, sqlite_url
from automc.service import dashboard, problems
from automc.service.line import Line
from automc.service.routes import campaigns, catalog, tables
from automc.workspace import LocalWorkspace, Registry

PREFIX = "/api/v1"


def make_app(workspace: LocalWorkspace, line: Line | None = None) -> FastAPI:
    """Returns the application.

    Args:
        workspace: what it serves.
        line: starts campaigns that wait; None where nobody is to.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if line is not None:
            line.start()
        try:
            yield
        finally:
            if line is not None:
                line.stop()

    app = FastAPI(
        title="AutoMC",
        version=automc.__version__,
        summary="Hardware-aware automatic model compression",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # FastAPI's page loads from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.workspace = workspace
    api = APIRouter(prefix=PREFIX)
    for routes in (campaigns, tables, catalog):
        api.include_router(routes.router)
    app.include_router(api)
    dashboard.install(app)
    problems.install(app)

    @app.get("/healthz", tags=["health"], summary="Whether the process lives")
    def healthz() -> dict[str, str]:
        return {"status": "ok", "version": automc.__version__}

    @app.get("/readyz", tags=["health"], summary="Whether it can answer", responses=problems.told(503))
    def readyz() -> dict[str, str]:
        workspace.storage.optuna.get_all_studies()
        return {"status": "ready"}

    return app


def document() -> dict[str, Any]:
    """Returns the API's OpenAPI document, without a workspace."""
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(sqlite_url(Path(folder) / "none.db"))
        with LocalWorkspace(storage, Path(folder), Registry()) as workspace:
            return make_app(workspace).openapi()
