"""The campaigns of a storage, looked at and driven from this machine."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from automc.campaigns.archive import export_campaign
from automc.campaigns.campaign import Campaign
from automc.campaigns.launch import FILES, LOG, check_stop, create, delete_files, free_name, queue_again
from automc.campaigns.result import SearchResult
from automc.campaigns.states import GOING, State
from automc.campaigns.storage import PATIENCE, Away, Storage
from automc.campaigns.studies import Noted, names, noted
from automc.campaigns.units_file import read_units
from automc.errors import ConfigError, Conflict, NotFound, nearest
from automc.recipes import Recipe
from automc.workspace._base import Campaigns, Sort
from automc.workspace.answers import (
    CampaignDetail,
    CampaignRequest,
    CampaignSummary,
    EvaluationDetail,
    EvaluationRow,
    Page,
    RecipeSummary,
)
from automc.workspace.look import FRESH, STALE, Look
from automc.workspace.registry import Registry
from automc.workspace.requests import settings_of
from automc.workspace.results import read_recipe, read_result, summary
from automc.workspace.shown import Shown

_LOOK = 0.5  # seconds between two looks of somebody who watches


class LocalCampaigns(Campaigns):
    """Campaigns of a storage; any number of threads may ask.

    Args:
        storage: where they are kept.
        folder: where the files of new ones go, each in a folder of its name.
        registry: what may be asked for.
        served: whether others ask, who are not shown what is the operator's own.

    Attributes:
        where: what messages say of where campaigns are kept; nothing to those far away.
    """

    where = ""

    def __init__(self, storage: Storage, folder: Path, registry: Registry, served: bool = False) -> None:
        self._storage, self._folder, self._registry = storage, folder, registry
        self._shown = Shown(registry, served)
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._making = threading.Lock()
        self._looks: dict[str, Look] = {}
        self._recipes: dict[int, RecipeSummary] = {}
        self._noted: dict[str, Noted] = {}
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
            with suppress(NotFound):  # deleted since
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
            there = noted(self._storage)
            if key is not None and (made := _made_by(there, key, digest)) is not None:
                return self.show(made)
            name = request.name or free_name(request.task, self._storage)
            if name in there:
                raise Conflict(f"there is a campaign {name} already; choose another name")
            out, asked = self._free_folder(name), None if key is None else (key, digest)
            try:
                create(
                    self._storage,
                    name,
                    settings,
                    self._registry.folder,
                    out,
                    waiting=True,
                    request=asked,
                    registered=request.task,
                )
            except BaseException:
                with suppress(OSError):  # it was made for nothing
                    out.rmdir()
                if name in names(self._storage):  # somebody else was quicker
                    raise Conflict(f"there is a campaign {name} already; choose another name") from None
                raise
            with self._lock:
                self._when = 0.0
        return self.show(name)

    def _free_folder(self, name: str) -> Path:
        """Returns a folder in which nothing lies: one of this name was deleted, and its files may have stayed."""
        out, number = self._folder / name, 1
        while out.exists() and not (out.is_dir() and not any(out.iterdir())):
            number += 1
            out = self._folder / f"{name}-{number}"
        return out

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
        queue_again(look.campaign, asked, as_started=True, waiting=True)
        look.forget()
        return look.detail()

    def _stop(self, name: str, what: Literal["pause", "cancel"]) -> CampaignDetail:
        look = self._look(name)
        try:
            wanted = check_stop(look.campaign, what)
        except (Away, NotFound):
            raise
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
        except (Away, NotFound):
            raise
        except ConfigError as error:  # a driver has come meanwhile
            raise Conflict(str(error)) from None
        with self._lock:
            self._looks.pop(name, None)
            self._when = 0.0
        self._recipes.pop(look.campaign.study, None)
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
        return EvaluationDetail(evaluation=found, units=read_units(look.campaign.record.out))

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
        record = self._look(name).campaign.record
        return self._shown.result(read_result(name, record.out), record)

    def recipe(self, name: str) -> Recipe:
        """See `Campaigns.recipe`."""
        detail = self.show(name)
        if detail.state != "finished":
            raise Conflict(f"{name} is {detail.state}; it has a recipe once it has finished")
        record = self._look(name).campaign.record
        return self._shown.recipe(read_recipe(name, record.out), record)

    def recipes(self, *, offset: int = 0, limit: int = 50) -> Page[RecipeSummary]:
        """See `Campaigns.recipes`."""
        there = self._known()
        names = sorted((one.created, name) for name, one in there.items() if one.state == "finished")[::-1]
        found = []
        for _, name in names[offset : offset + limit]:
            with suppress(NotFound, ValueError):  # somebody deleted its files, or wrote others in their place
                found.append(self._recipe(name, there[name].study))
        return Page(items=found, total=len(names), offset=offset)

    def _recipe(self, name: str, study: int) -> RecipeSummary:
        if study not in self._recipes:  # what has finished does not change any more
            record = self._look(name).campaign.record
            self._recipes[study] = summary(name, self._shown.task(record), read_recipe(name, record.out))
        return self._recipes[study]

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

    def line(self) -> tuple[list[Campaign], int]:
        """Returns campaigns that wait for room, those made first first, and how many run, both as noted just now."""
        there = self._known(fresh=True)
        waiting = sorted((one.created, name) for name, one in there.items() if one.waiting)
        running = sum(self._state(name) == "running" for name, one in there.items() if one.state == "running")
        return [self._look(name).campaign for _, name in waiting], running

    def _state(self, name: str) -> State | None:
        """Returns how one stands, with a look at its driver; None where it was deleted just now."""
        with suppress(NotFound):
            return self.show(name).state
        return None

    def _known(self, fresh: bool = False) -> dict[str, Noted]:
        """Returns what is noted of each, none of it much older than `FRESH`; as known where the database is away.

        Args:
            fresh: whether it must be of now.
        """
        with self._lock:
            before, age = self._noted, time.monotonic() - self._when
            if age <= FRESH and not fresh:
                return before
        # somebody asks the database already: whoever can do with what was known a moment ago does not wait for that
        if not self._asking.acquire(blocking=fresh or age > STALE):
            return before
        try:
            there = noted(self._storage)
        except Away:
            if fresh or self._storage.waits or not self._when or age > PATIENCE:
                raise
            return before
        finally:
            self._asking.release()
        with self._lock:
            self._noted, self._when = there, time.monotonic()
            same = {name for name, look in self._looks.items()
                    if name in there and there[name].study == look.campaign.study}  # fmt: skip
            self._looks = {name: look for name, look in self._looks.items() if name in same}
            looks = list(self._looks.items())
        for name, look in looks:
            look.noted(there[name].state)
        return there

    def _look(self, name: str) -> Look:
        self._known()  # one of this name may have been deleted
        with self._lock:
            if name in self._looks:
                return self._looks[name]
        try:
            look = Look(Campaign(self._storage, name), self._shown)
        except Away:
            raise
        except ConfigError:
            known = nearest(name, names(self._storage))
            raise NotFound(f"no campaign {name[:80]}{self.where}{known}") from None
        with self._lock:
            return self._looks.setdefault(name, look)


def _made_by(there: dict[str, Noted], key: str, digest: str) -> str | None:
    """Returns the campaign that a request with this key has made; raises Conflict for another request's key."""
    for name, one in there.items():
        if one.request is not None and one.request[0] == key:
            if one.request[1] != digest:
                raise Conflict(f"this idempotency key was used for another request, which made {name}")
            return name
    return None


def _digest(request: CampaignRequest) -> str:
    return hashlib.sha256(json.dumps(request.model_dump(), sort_keys=True).encode()).hexdigest()
