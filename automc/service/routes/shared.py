"""What routes share: the workspace, and how pages are asked for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Query, Request

from automc.workspace import LocalWorkspace
from automc.workspace.answers import MOST


class Routes(APIRouter):
    """Routes that ask the workspace, each in a thread.

    FastAPI would put a function of a route into a thread by itself, and what it returned into another one to look at
    its type, which takes microseconds: handing over is what takes time.
    """

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """See FastAPI."""
        if not inspect.isasyncgenfunction(endpoint) and not inspect.iscoroutinefunction(endpoint):
            endpoint = _in_thread(endpoint)
        super().add_api_route(path, endpoint, **options)


def _in_thread(route: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(route)
    async def called(*args: Any, **asked: Any) -> Any:
        return await anyio.to_thread.run_sync(functools.partial(route, *args, **asked))

    return called


async def workspace(request: Request) -> LocalWorkspace:
    """Returns what the service serves; not a plain function, which FastAPI would call in a thread."""
    found: LocalWorkspace = request.app.state.workspace
    return found


Here = Annotated[LocalWorkspace, Depends(workspace)]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="How many items to leave out.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many items at most.")]
Name = Annotated[str, Path(max_length=80, description="The campaign's name.")]
