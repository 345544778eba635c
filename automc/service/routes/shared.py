"""What routes share: the workspace, and how pages are asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from automc.workspace import LocalWorkspace
from automc.workspace.answers import MOST, CampaignDetail


def workspace(request: Request) -> LocalWorkspace:
    """Returns what the service serves."""
    found: LocalWorkspace = request.app.state.workspace
    return found


def shared(detail: CampaignDetail) -> CampaignDetail:
    """Returns a campaign without where its files lie on this machine."""
    return detail.model_copy(update={"folder": None, "source": None})


Here = Annotated[LocalWorkspace, Depends(workspace)]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="How many items to leave out.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many items at most.")]
Name = Annotated[str, Path(max_length=80, description="The campaign's name.")]
