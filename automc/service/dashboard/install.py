"""The dashboard's part of the application."""

from __future__ import annotations

from fastapi import FastAPI

from automc.service.dashboard import assets, pages


def install(app: FastAPI) -> None:
    """Adds the pages, and what they load."""
    app.mount(assets.BASE, assets.app(), name="assets")
    app.include_router(pages.router)
