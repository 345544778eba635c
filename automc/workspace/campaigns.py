"""The campaigns of a storage, looked at and driven from this machine."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from automc.campaigns.archive import export_campaign
from automc.campaigns.campaign import Campaign, names
from automc.campaigns.launch import FILES, LOG, check_stop, create, delete_files, free_name, queue_again
from automc.campaigns.record import State
from automc.campaigns.result import SearchResult
from automc.campaigns.storage import Storage
from automc.errors import ConfigError, Conflict, NotFound, nearest
from automc.workspace._base import Campaigns, Sort
from automc.workspace.answers import (
    CampaignDetail,
    CampaignRequest,
    CampaignSummary,
    EvaluationDetail,
    EvaluationRow,
    Page,
)
from automc.workspace.look import FRESH, GOING, Look
from automc.workspace.registry import Registry
from automc.workspace.requests import settings_of

_LOOK = 0.5  # seconds between two looks of somebody who watches


class LocalCampaigns(Campaigns):
    """Campaigns of a storage; any number of threads may ask.

    Args:
        storage: where they are kept.
        folder: where the files of new ones go, each in a folder of its name.
        registry: what may be asked for.

    Attributes:
        where: what messages say of where campaigns are kept; nothing to those far away.
    """

    where = ""

    def __init__(self, storage: Storage, folder: Path, registry: Registry) -> None:
        self._storage, self._folder, self._registry = storage, folder, registry
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._looks: dict[str, Look] = {}
        self._names: list[str] = []
        self._when = 0.0

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
        found = []
        for name in self._known():
            with suppress(ConfigError):  # deleted since
                found.append(self._look(name).summary())
        word = search.casefold()
        found = [
            one
            for one in found
            if (state is None or one.state == state)
            and any(word in text.casefold() for text in (one.name, one.task, one.agent, one.owner))
        ]
        found.sort(key=lambda one: (getattr(one, sort.removeprefix("-")), one.name), reverse=sort.startswith("-"))
        return Page(items=found[offset : offset + limit], total=len(found), offset=offset)

    def show(self, name: str) -> CampaignDetail:
        """See `Campaigns.show`."""
        return self._look(name).detail()

    def start(self, request: CampaignRequest, key: str | None = None) -> CampaignDetail:
        """See `Campaigns.start`."""
        settings = settings_of(request, self._registry)
        with self._making:
            digest = _digest(request)
            if key is not None and (made := self._made_by(key, digest)) is not None:
                return self.show(made)
            name = request.name or free_name(request.task, self._storage)
            if name in names(self._storage):
                raise Conflict(f"there is a campaign {name} already; choose another name")
            campaign = create(self._storage, name, settings, self._registry.folder, self._folder / name)
            campaign.note_request(key, digest)
            campaign.wait()
            self._when = 0.0
        return self.show(name)

    def _made_by(self, key: str, digest: str) -> str | None:
        """Returns the campaign that a request with this key has made; raises Conflict for another request's key."""
        for name in names(self._storage):
            used = Campaign(self._storage, name).request
            if used is not None and used[0] == key:
                if used[1] != digest:
                    raise Conflict(f"this idempotency key was used for another request, which made {name}")
                return name
        return None

    def pause(self, name: str) -> CampaignDetail:
        """See `Campaigns.pause`."""
        return self._stop(name, "pause")

    def cancel(self, name: str) -> CampaignDetail:
        """See `Campaigns.cancel`."""
        return self._stop(name, "cancel")

    def resume(self, name: str, workers: int | None = None) -> CampaignDetail:
        """See `Campaigns.resume`."""
        look = self._look(name)
        asked = {} if workers is None else {"workers": workers}
        if workers is not None:
            config = look.detail().config
            self._registry.check(config["agent"], "local", workers)
        status = look.campaign.status()
        if status.state not in ("paused", "failed"):
            raise Conflict(f"{name} is {status.state}; only what is paused or has failed can go on")
        queue_again(look.campaign, asked, as_started=True)
        look.campaign.wait()
        look.forget()
        return look.detail()

    def _stop(self, name: str, what: Literal["pause", "cancel"]) -> CampaignDetail:
        look = self._look(name)
        try:
            wanted = check_stop(look.campaign, what)
        except ConfigError as error:
            raise Conflict(str(error)) from None
        if wanted:
            look.campaign.wish(what)
            look.forget()
        return look.detail()

    def delete(self, name: str, with_files: bool = False) -> None:
        """See `Campaigns.delete`."""
        look = self._look(name)
        status = look.campaign.status()
        if status.state == "running" or look.campaign.driver is not None:
            raise Conflict(f"{name} is running; cancel it first")
        try:
            look.campaign.delete()
        except ConfigError as error:  # a driver has come meanwhile
            raise Conflict(str(error)) from None
        with self._lock:
            self._looks.pop(name, None)
            self._when = 0.0
        if with_files:
            delete_files(status.record.out)

    def evaluations(
        self, name: str, *, agent: str | None = None, failed: bool | None = None, offset: int = 0, limit: int = 50
    ) -> Page[EvaluationRow]:
        """See `Campaigns.evaluations`."""
        found = [
            row for row in self._look(name).rows() if agent in (None, row.agent) and failed in (None, row.score is None)
        ]
        return Page(items=found[offset : offset + limit], total=len(found), offset=offset)

    def evaluation(self, name: str, agent: str, number: int) -> EvaluationDetail:
        """See `Campaigns.evaluation`."""
        look = self._look(name)
        # asked for only where there is such an agent: looking for its study would not make one, but it takes time
        rows = look.campaign.journal.evaluations(agent) if agent in look.detail().counts else []
        found = next((one for one in rows if one.number == number), None)
        if found is None:
            raise NotFound(f"{name} has no evaluation {number} of {agent} that has ended")
        with suppress(ConfigError):
            return EvaluationDetail(evaluation=found, units=self.result(name).units)
        return EvaluationDetail(evaluation=found, units=[])

    def watch(self, name: str) -> Iterator[CampaignDetail]:
        """See `Campaigns.watch`."""
        before = None
        while True:
            detail = self.show(name)
            if detail != before:
                yield detail
                before = detail
            if detail.state not in GOING:
                return
            time.sleep(_LOOK)

    def result(self, name: str) -> SearchResult:
        """See `Campaigns.result`."""
        detail = self.show(name)
        if detail.state != "finished":
            raise Conflict(f"{name} is {detail.state}; it has a result once it has finished")
        out = self._look(name).campaign.record.out
        try:
            return SearchResult.model_validate_json((out / "result.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise NotFound(f"the result of {name} is not where it was written: {type(error).__name__}") from None

    def path(self, name: str, file: str) -> Path:
        """Returns where one of its files lies; raises NotFound where there is no such file."""
        look = self._look(name)
        there = [one.name for one in look.detail().files]
        if file not in (*FILES, LOG) or file not in there:
            raise NotFound(f"{name} has no file '{file[:80]}'{nearest(file, there)}")
        return look.campaign.record.out / file

    def download(self, name: str, file: str, to: Path) -> Path:
        """See `Campaigns.download`."""
        from automc import files

        if file == f"{name}.campaign":
            export_campaign(self._look(name).campaign, to)
            return to
        source = self.path(name, file)
        with files.replacing(to) as temporary:
            temporary.write_bytes(source.read_bytes())
        return to

    def look(self, name: str) -> Look:
        """Returns what is known of one; raises NotFound where there is none."""
        return self._look(name)

    def going(self) -> int:
        """Returns how many are under way, those that are being started too."""
        found = [self._look(name).detail() for name in self._known()]
        return sum(one.state in GOING and not one.waiting for one in found)

    def in_line(self) -> list[Campaign]:
        """Returns campaigns that wait for room, those that came first first."""
        waiting = [self._look(name) for name in self._known()]
        found = [look for look in waiting if look.detail().waiting]
        return [look.campaign for look in sorted(found, key=lambda look: look.detail().created)]

    def _known(self) -> list[str]:
        with self._lock:
            if time.monotonic() - self._when > FRESH:
                self._names, self._when = names(self._storage), time.monotonic()
                self._looks = {name: look for name, look in self._looks.items() if name in self._names}
            return list(self._names)

    def _look(self, name: str) -> Look:
        with self._lock:
            if name in self._looks:
                return self._looks[name]
        try:
            look = Look(Campaign(self._storage, name))
        except ConfigError:
            known = nearest(name, names(self._storage))
            raise NotFound(f"no campaign {name[:80]}{self.where}{known}") from None
        with self._lock:
            return self._looks.setdefault(name, look)


def _digest(request: CampaignRequest) -> str:
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()
