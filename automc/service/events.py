"""Campaigns as they go on, by server-sent events: all streams of a campaign share one look at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

import anyio
import anyio.to_thread
from fastapi import Request
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict

from automc import progress
from automc.campaigns.storage import Away
from automc.errors import NotFound, one_line
from automc.workspace import LocalWorkspace
from automc.workspace.answers import CampaignDetail, EvaluationRow
from automc.workspace.look import Look

TICK = 1.0
"""Seconds between two looks of a stream whether it may go on; and at least between two `campaign` events."""

_LOOK = 0.5  # seconds between two looks at a campaign that is watched
_THREADS = 4  # that look at campaigns


class End(BaseModel):
    """The data of the last event of a stream.

    Attributes:
        reason: ``finished``, ``cancelled`` or ``deleted`` of the campaign; ``stopped`` of the server, who may be asked
            again; ``refused`` of whoever watches.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Literal["finished", "cancelled", "deleted", "stopped", "refused"]


@dataclass
class Seen:
    """A campaign as somebody who begins to watch it finds it.

    Attributes:
        look: where more is to be had.
        detail: how it stands.
        place: how many of its evaluations are not told.
    """

    look: Look
    detail: CampaignDetail
    place: int


def seen(workspace: LocalWorkspace, name: str, after: str | None, everything: bool) -> Seen:
    """Looks at a campaign for the first time.

    Args:
        workspace: where it is.
        name: of the campaign.
        after: the cursor of the last evaluation that is known; None where none is.
        everything: whether evaluations that have ended are told where `after` does not say.

    Raises:
        NotFound: there is none.
    """
    look = workspace.campaigns.look(name)
    detail, rows = look.detail(), look.rows()
    if after is None:
        return Seen(look, detail, 0 if everything else len(rows))
    found = next((number for number, row in enumerate(rows) if row.cursor == after), None)
    # another server may have told it in another order; cursors begin with the time
    place = sum(row.cursor <= after for row in rows) if found is None else found + 1
    return Seen(look, detail, place)


@dataclass
class _Watched:
    """A campaign that somebody watches."""

    look: Look
    text: str
    rows: list[EvaluationRow]
    streams: int = 0
    ended: Literal["finished", "cancelled", "deleted"] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class Events:
    """The streams of a service.

    A stream holds its place among the evaluations and nothing else, so that one whose client does not read costs no
    more than others; what is told of a campaign is written once for all streams.

    Args:
        workspace: whose campaigns.
    """

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace
        self._watched: dict[str, _Watched] = {}
        self._threads: anyio.CapacityLimiter | None = None
        self._closing = False

    @property
    def streams(self) -> int:
        """How many there are."""
        return sum(one.streams for one in self._watched.values())

    def close(self) -> None:
        """Ends all streams; called where the event loop runs."""
        self._closing = True
        for one in self._watched.values():
            one.wake()

    async def stream(self, request: Request, name: str, first: Seen) -> AsyncIterator[ServerSentEvent]:
        """Yields what becomes of a campaign, until it has ended for good or the server stops.

        Args:
            request: the client's. `app.state.still_allowed`, where there is such a function, is asked with it at least
                every `TICK` seconds; where it says no, the stream ends.
            name: of the campaign.
            first: how it was found.
        """
        place, told, when = first.place, "", 0.0
        watched = self._join(name, first)
        try:
            while True:
                news = watched.news  # before anything is looked at, so that nothing is missed
                if not await _allowed(request):
                    yield _end("refused")
                    return
                ended = "stopped" if self._closing else watched.ended
                now = asyncio.get_running_loop().time()
                if watched.text != told and (ended or not told or now - when >= TICK):
                    told, when = watched.text, now
                    yield ServerSentEvent(event="campaign", raw_data=told)
                for row in watched.rows[place:]:
                    yield ServerSentEvent(event="evaluation", id=row.cursor, raw_data=row.model_dump_json())
                    place += 1
                if ended:
                    yield _end(ended)
                    return
                with anyio.move_on_after(TICK):
                    await news.wait()
        finally:
            self._leave(name, watched)

    def _join(self, name: str, first: Seen) -> _Watched:
        watched = self._watched.get(name)
        if watched is None or watched.look is not first.look:
            watched = self._watched[name] = _Watched(first.look, _text(first.detail), [])
            _take(watched, first.detail, first.look.rows_known)
            watched.task = asyncio.create_task(self._follow(name, watched))
        watched.streams += 1
        return watched

    def _leave(self, name: str, watched: _Watched) -> None:
        watched.streams -= 1
        if not watched.streams:
            assert watched.task is not None
            watched.task.cancel()
            if self._watched.get(name) is watched:
                del self._watched[name]

    async def _follow(self, name: str, watched: _Watched) -> None:
        """Looks at a campaign again and again, for all that watch it."""
        if self._threads is None:  # of their own, so that watching neither waits for requests nor holds them up
            self._threads = anyio.CapacityLimiter(_THREADS)
        while watched.ended is None:
            await asyncio.sleep(_LOOK)
            try:
                detail, rows = await anyio.to_thread.run_sync(self._look, name, watched.look, limiter=self._threads)
            except NotFound:
                watched.ended = "deleted"
            except Away:
                continue
            except Exception as error:  # who watches goes on: it may pass
                progress.say(f"events of {name}: {one_line(error)}")
                continue
            else:
                if not _take(watched, detail, rows):
                    continue
            watched.wake()

    def _look(self, name: str, before: Look) -> tuple[CampaignDetail, list[EvaluationRow]]:
        look = self._workspace.campaigns.look(name)
        if look is not before:
            raise NotFound(f"{name} was deleted, and there is another one of its name")
        return look.detail(), look.rows()


def _take(watched: _Watched, detail: CampaignDetail, rows: list[EvaluationRow]) -> bool:
    """Notes how a campaign stands; says whether that is news."""
    text = _text(detail)
    news = text != watched.text or len(rows) != len(watched.rows)
    watched.text, watched.rows = text, rows
    if detail.state in ("finished", "cancelled"):
        watched.ended, news = detail.state, True
    return news


def _text(detail: CampaignDetail) -> str:
    return detail.model_dump_json()


def _end(reason: str) -> ServerSentEvent:
    return ServerSentEvent(event="end", data=End.model_validate({"reason": reason}))


async def _allowed(request: Request) -> bool:
    ask = getattr(request.app.state, "still_allowed", None)
    return ask is None or bool(await ask(request))
