"""A campaign's events over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from automc.service.events import Events, Seen, seen
from automc.service.problems import told
from automc.service.routes.shared import Here, Name

router = APIRouter(prefix="/campaigns", tags=["campaigns"])


def _first(
    here: Here,
    name: Name,
    last: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=200, description="Go on after this evaluation, by its cursor."),
    ] = None,
    begin: Annotated[
        Literal["now", "start"], Query(alias="from", description="Whether evaluations that have ended come too.")
    ] = "now",
) -> Seen:
    """Looks at the campaign before an answer begins, so that mistakes are told as problems."""
    return seen(here, name, last or None, begin == "start")


@router.get(
    "/{name}/events",
    summary="Watch a campaign",
    response_class=EventSourceResponse,
    responses=told(404, 503),
)
async def events(
    request: Request, name: Name, first: Annotated[Seen, Depends(_first)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events.

    `campaign` (a campaign's detail) at once, and when it has changed, at most once a second; `evaluation` (a row, with
    its cursor as the event's identifier) for each that ends; `end` (a reason) where nothing more comes: only after
    `stopped` is there a point in asking again. A comment every 15 seconds.
    """
    found: Events = request.app.state.events
    async for event in found.stream(request, name, first):
        yield event
