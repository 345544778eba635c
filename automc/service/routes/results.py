"""What campaigns have found, and their files, over HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import anyio.to_thread
from fastapi import Path as Parameter
from fastapi import Query
from fastapi.responses import FileResponse, Response, StreamingResponse

from automc.campaigns.launch import LOG
from automc.campaigns.result import SearchResult
from automc.errors import NotFound
from automc.recipes import Recipe
from automc.service.problems import told
from automc.service.routes.shared import Here, Limit, Name, Offset, Routes
from automc.workspace.answers import Page, RecipeSummary

router = Routes(tags=["recipes"])

_BINARY = "application/octet-stream"
_REPORT = "report.html"
_MEDIA = {
    _REPORT: "text/html; charset=utf-8",
    "result.json": "application/json",
    "recipe.yaml": "application/yaml",
    LOG: "text/plain; charset=utf-8",
}
_SANDBOX = {"Content-Security-Policy": "sandbox allow-scripts"}
"""A report's scripts may draw, but have an origin of their own: nobody's session there."""

_LONGEST = 8 << 20  # bytes of a log at its end that are sent
_CHUNK = 256 << 10


def _bytes(what: str, *media: str) -> dict[int | str, dict[str, Any]]:
    content = {one: {"schema": {"type": "string", "format": "binary"}} for one in media}
    return {200: {"description": what, "content": content}}


@router.get("/recipes", summary="List recipes", responses=told(503))
def recipes(here: Here, offset: Offset = 0, limit: Limit = 50) -> Page[RecipeSummary]:
    """The recipes of finished campaigns, those of the last campaigns first."""
    return here.campaigns.recipes(offset=offset, limit=limit)


@router.get("/campaigns/{name}/recipe", summary="Show a recipe", responses=told(404, 409, 503))
def recipe(here: Here, name: Name) -> Recipe:
    """What a campaign has decided, as its recipe's file has it."""
    return here.campaigns.recipe(name)


@router.get(
    "/campaigns/{name}/result", summary="Show a result", response_model=SearchResult, responses=told(404, 409, 503)
)
def result(here: Here, name: Name) -> Response:
    """All that a campaign has found."""
    # validated when it was read: thousands of evaluations need not be once more
    return Response(here.campaigns.result(name).model_dump_json(), media_type="application/json")


@router.get(
    "/campaigns/{name}/files/{file}",
    summary="Download a file",
    response_class=Response,
    responses=told(404, 503) | _bytes("The file.", *_MEDIA.values(), _BINARY),
)
def file(
    here: Here,
    name: Name,
    file: Annotated[str, Parameter(max_length=80, description="One of the campaign's files.")],
    inline: Annotated[bool, Query(description="Whether a browser is to show the report, not to keep it.")] = False,
) -> Response:
    """One of the files that a campaign has written."""
    path, media = here.campaigns.path(name, file), _MEDIA.get(file, _BINARY)
    headers = _SANDBOX if file == _REPORT else {}
    disposition = "inline" if inline and file == _REPORT else "attachment"
    try:
        if file == LOG:  # it grows meanwhile
            headers = {"Content-Disposition": f'attachment; filename="{LOG}"'}
            return Response(_end(path), media_type=media, headers=headers)
        return FileResponse(path, 200, headers, media, None, file, path.stat(), content_disposition_type=disposition)
    except FileNotFoundError:
        raise NotFound(f"{name} has no file '{file}' any more") from None


@router.get(
    "/campaigns/{name}/archive",
    summary="Download a campaign",
    response_class=Response,
    responses=told(404, 503, 507) | _bytes("The archive.", "application/zip"),
)
def archive(here: Here, name: Name) -> Response:
    """All of a campaign in one file, which `automc campaign import` reads."""
    with tempfile.TemporaryDirectory(prefix="automc-") as folder:
        path = here.campaigns.download(name, f"{name}.campaign", Path(folder) / "archive")
        size, opened = path.stat().st_size, path.open("rb")
    # without a name by now: whatever becomes of the answer, nothing of it stays
    headers = {"Content-Disposition": f'attachment; filename="{name}.campaign"', "Content-Length": str(size)}
    return StreamingResponse(_chunks(opened), media_type="application/zip", headers=headers)


async def _chunks(opened: BinaryIO) -> AsyncIterator[bytes]:
    with opened:
        while chunk := await anyio.to_thread.run_sync(opened.read, _CHUNK):
            yield chunk


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _LONGEST, 0))
        return file.read()
