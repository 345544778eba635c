"""Campaigns of a server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import ValidationError

from automc.campaigns.states import GOING, State
from automc.client.connection import Connection, Lost
from automc.errors import NotFound, RuntimeFailure
from automc.workspace import Campaigns
from automc.workspace._base import Sort
from automc.workspace.answers import (
    CampaignDetail,
    CampaignRequest,
    CampaignSummary,
    EvaluationDetail,
    EvaluationRow,
    Page,
    RecipeSummary,
)

if TYPE_CHECKING:
    from automc.campaigns.result import SearchResult
    from automc.recipes import Recipe

_PAUSE = 1.0  # seconds before a stream that broke off is asked for again


class RemoteCampaigns(Campaigns):
    """See `Campaigns`.

    Args:
        connection: to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(
        self,
        *,
        state: State | None = None,
        search: str = "",
        sort: Sort = "-created",
        offset: int = 0,
        limit: int = 50,
    ) -> Page[CampaignSummary]:
        """See `Campaigns.find`."""
        asked = given(state=state, search=search, sort=sort, offset=offset, limit=limit)
        return self._connection.ask(Page[CampaignSummary], "GET", "campaigns", params=asked)

    def show(self, name: str) -> CampaignDetail:
        """See `Campaigns.show`."""
        return self._detail("GET", name)

    def start(self, request: CampaignRequest, key: str | None = None) -> CampaignDetail:
        """See `Campaigns.start`; a key of its own where none is given, so that asking again makes nothing twice."""
        return self._connection.ask(
            CampaignDetail,
            "POST",
            "campaigns",
            again=True,
            json=request.model_dump(mode="json"),
            headers={"Idempotency-Key": key or uuid4().hex},
        )

    def pause(self, name: str) -> CampaignDetail:
        """See `Campaigns.pause`."""
        return self._detail("POST", name, "pause", again=True)

    def resume(self, name: str, workers: int | None = None) -> CampaignDetail:
        """See `Campaigns.resume`."""
        return self._detail("POST", name, "resume", params=given(workers=workers))

    def cancel(self, name: str) -> CampaignDetail:
        """See `Campaigns.cancel`."""
        return self._detail("POST", name, "cancel", again=True)

    def delete(self, name: str, with_files: bool = False) -> None:
        """See `Campaigns.delete`."""
        tries = 0

        def once() -> None:
            nonlocal tries
            tries += 1
            try:
                with self._connection.stream("DELETE", "campaigns", name, params=given(files=with_files)):
                    pass
            except NotFound:
                if tries == 1:  # else the answer to the first was lost
                    raise

        self._connection.insist(once)

    def evaluations(
        self, name: str, *, agent: str | None = None, failed: bool | None = None, offset: int = 0, limit: int = 50
    ) -> Page[EvaluationRow]:
        """See `Campaigns.evaluations`."""
        asked = given(agent=agent, failed=failed, offset=offset, limit=limit)
        return self._connection.ask(Page[EvaluationRow], "GET", "campaigns", name, "evaluations", params=asked)

    def evaluation(self, name: str, agent: str, number: int) -> EvaluationDetail:
        """See `Campaigns.evaluation`."""
        return self._connection.ask(EvaluationDetail, "GET", "campaigns", name, "evaluations", agent, number)

    def watch(self, name: str) -> Iterator[CampaignDetail]:
        """See `Campaigns.watch`; a server that goes away is waited for."""
        before, last, since = None, "", None
        while True:
            try:
                for event in self._connection.events("campaigns", name, "events", last=last):
                    last, since = event.id or last, None
                    if event.event == "campaign":
                        if (now := self._read(event.data)) != before:
                            yield now
                            before = now
                        if now.state not in GOING:
                            return
            except Lost as error:
                since = time.monotonic() if since is None else since
                if not self._connection.waits_for(error, since):
                    raise
                time.sleep(error.pause)
            else:  # it was ended where more was to come: the server is being restarted, or the campaign was deleted
                time.sleep(_PAUSE)

    def _read(self, data: str) -> CampaignDetail:
        try:
            return CampaignDetail.model_validate_json(data)
        except ValidationError:
            raise RuntimeFailure(
                f"{self._connection.url}: what it says of a campaign makes no sense; install the same AutoMC there"
            ) from None

    def result(self, name: str) -> SearchResult:
        """See `Campaigns.result`."""
        from automc.campaigns.result import SearchResult  # it brings torch, which no other question needs

        return self._connection.ask(SearchResult, "GET", "campaigns", name, "result")

    def recipe(self, name: str) -> Recipe:
        """See `Campaigns.recipe`."""
        from automc.recipes import Recipe

        return self._connection.ask(Recipe, "GET", "campaigns", name, "recipe")

    def recipes(self, *, offset: int = 0, limit: int = 50) -> Page[RecipeSummary]:
        """See `Campaigns.recipes`."""
        return self._connection.ask(Page[RecipeSummary], "GET", "recipes", params=given(offset=offset, limit=limit))

    def download(self, name: str, file: str, to: Path) -> Path:
        """See `Campaigns.download`."""
        path = ("archive",) if file == f"{name}.campaign" else ("files", file)
        self._connection.download(to, "campaigns", name, *path)
        return to

    def _detail(self, method: str, *path: str, **options: Any) -> CampaignDetail:
        return self._connection.ask(CampaignDetail, method, "campaigns", *path, **options)


def given(**asked: object) -> dict[str, str]:
    """Returns what of a question was asked, as a URL says it."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in asked.items()
        if value is not None
    }
