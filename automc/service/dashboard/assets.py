"""What pages load: style sheets, scripts, and plotly.js from its Python package; nothing is from elsewhere."""

from __future__ import annotations

import hashlib
import os
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

import automc

_FOLDER = cast(Path, resources.files("automc.service.dashboard") / "static")
_PLOTLY = "plotly.min.js"


def _digest() -> str:
    """Returns what changes whenever any file does: modules import each other by relative names, and so by it."""
    found = hashlib.sha256(f"{automc.__version__} {version('plotly')}".encode())
    for path in sorted(_FOLDER.iterdir()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


BASE = f"/static/{_digest()}"
"""Where they lie: an address of an upgraded server's is another, so browsers may keep what they have for good."""


class _Assets(StaticFiles):
    """The folder of static files, and beside them plotly.js."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Returns where a file lies; see StaticFiles."""
        if path == _PLOTLY:
            found = cast(Path, resources.files("plotly") / "package_data" / _PLOTLY)
            return str(found), found.stat()
        return super().lookup_path(path)

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Returns a file, or that it has not changed; see StaticFiles."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def app() -> ASGIApp:
    """Returns what answers below `BASE`; plotly.js is a third as large when it is packed."""
    return GZipMiddleware(_Assets(directory=_FOLDER), minimum_size=1000)
