"""Campaigns over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path, Query

from automc.campaigns.states import State
from automc.service.problems import told
from automc.service.routes.shared import Here, Limit, Name, Offset, Routes
from automc.workspace._base import Sort
from automc.workspace.answers import (
    CampaignDetail,
    CampaignRequest,
    CampaignSummary,
    EvaluationDetail,
    EvaluationRow,
    Page,
)

router = Routes(prefix="/campaigns", tags=["campaigns"])


@router.get("", summary="List campaigns")
def find(
    here: Here,
    state: State | None = None,
    search: Annotated[str, Query(max_length=80, description="In name, task, agent or owner.")] = "",
    sort: Sort = "-created",
    offset: Offset = 0,
    limit: Limit = 50,
) -> Page[CampaignSummary]:
    """Some of the campaigns."""
    return here.campaigns.find(state=state, search=search, sort=sort, offset=offset, limit=limit)


@router.post("", status_code=201, summary="Start a campaign", responses=told(404, 409, 422, 503, 507))
def start(
    here: Here,
    request: CampaignRequest,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            description="The same request with the same key makes nothing new; the answer is alike.",
        ),
    ] = None,
) -> CampaignDetail:
    """Makes a campaign; it begins when there is room for it."""
    return here.campaigns.start(request, idempotency_key)


@router.get("/{name}", summary="Show a campaign", responses=told(404))
def show(here: Here, name: Name) -> CampaignDetail:
    """All there is to know of one but its evaluations."""
    return here.campaigns.show(name)


@router.post("/{name}/pause", summary="Pause a campaign", responses=told(404, 409))
def pause(here: Here, name: Name) -> CampaignDetail:
    """Asks for a pause: what is being evaluated ends first."""
    return here.campaigns.pause(name)


@router.post("/{name}/resume", summary="Go on with a campaign", responses=told(404, 409, 422))
def resume(here: Here, name: Name, workers: Annotated[int | None, Query(ge=1, le=10_000)] = None) -> CampaignDetail:
    """Goes on with one that was paused or has failed."""
    return here.campaigns.resume(name, workers)


@router.post("/{name}/cancel", summary="Cancel a campaign", responses=told(404, 409))
def cancel(here: Here, name: Name) -> CampaignDetail:
    """Asks for its end, for good."""
    return here.campaigns.cancel(name)


@router.delete("/{name}", status_code=204, summary="Delete a campaign", responses=told(404, 409))
def delete(here: Here, name: Name, files: Annotated[bool, Query(description="What it wrote, too.")] = False) -> None:
    """Deletes it with all its evaluations."""
    here.campaigns.delete(name, files)


@router.get("/{name}/evaluations", summary="List evaluations", responses=told(404))
def evaluations(
    here: Here,
    name: Name,
    agent: Annotated[str | None, Query(max_length=80)] = None,
    failed: bool | None = None,
    offset: Offset = 0,
    limit: Limit = 50,
) -> Page[EvaluationRow]:
    """Some of its evaluations, in the order in which they ended."""
    return here.campaigns.evaluations(name, agent=agent, failed=failed, offset=offset, limit=limit)


@router.get("/{name}/evaluations/{agent}/{number}", summary="Show an evaluation", responses=told(404))
def evaluation(
    here: Here, name: Name, agent: Annotated[str, Path(max_length=80)], number: Annotated[int, Path(ge=0, le=10**9)]
) -> EvaluationDetail:
    """One evaluation with its policy."""
    return here.campaigns.evaluation(name, agent, number)
