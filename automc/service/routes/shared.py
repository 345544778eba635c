"""What routes share: the workspace, and how pages are asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from automc.workspace import LocalWorkspace
from automc.workspace.answers import MOST


def workspace(request: Request) -> LocalWorkspace:
    """Returns what the service serves."""
    found: LocalWorkspace = request.app.state.workspace
    return found


Here = Annotated[LocalWorkspace, Depends(workspace)]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="How many items to leave out.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many items at most.")]
