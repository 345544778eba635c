"""The dashboard's part of the application."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from automc.service import problems
from automc.service.dashboard import assets, pages
from automc.service.security.who import is_page


def install(app: FastAPI) -> None:
    """Adds the pages, what they load, and the page for addresses at which there is nothing."""
    app.mount(assets.BASE, assets.app(), name="assets")
    app.include_router(pages.router)

    async def missing(request: Request, error: Exception) -> Response:
        return HTMLResponse(pages.missing(), 404) if is_page(request) else problems.answer(error)

    app.add_exception_handler(404, missing)
