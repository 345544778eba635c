"""What a campaign was begun with, and how it stands: plain data."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from automc.campaigns.config import SearchConfig
from automc.campaigns.states import State


class Record(BaseModel):
    """What a campaign was begun with.

    Attributes:
        config: its configuration.
        folder: where relative paths of the configuration start.
        source: the file that the configuration is from, if any.
        out: where its files go.
        owner: who began it: user and host.
        created: when.
        asked: what the command line asked of `compute`, whatever the file says.
        registered: the name by which the task was asked for, where a service made it of its registry.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: SearchConfig
    folder: Path
    source: Path | None = None
    out: Path
    owner: str
    created: datetime
    asked: dict[str, Any] = Field(default_factory=dict)
    registered: str | None = None


class Status(BaseModel):
    """How a campaign stands.

    Attributes:
        name: of the campaign.
        state: as it is now; a campaign whose driver went without a word is ``failed``.
        reason: why it failed, or is being started again, in one line.
        record: what it was begun with.
        started: when it first ran.
        ended: when it ended.
        seconds: that drivers have run, all sessions together.
        worker_seconds: spent on evaluations that have ended, all workers together.
        evaluations: how many have ended, those that failed too.
        failed: how many of them failed.
        under_way: how many have begun and not ended.
        total: how many there are to be; None before it began.
        limits: what the budgets allow, by metric, in its own unit; empty before it began.
        driver: host and process that drive it now.
        since: when that began, or whoever drove it last, without a zone.
        metric: name of the score; None before it began.
        higher_is_better: the direction of scores.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    state: State
    reason: str | None
    record: Record
    started: datetime | None
    ended: datetime | None
    seconds: float
    worker_seconds: float
    evaluations: int
    failed: int
    under_way: int
    total: int | None
    limits: dict[str, float]
    driver: str | None
    since: datetime | None
    metric: str | None
    higher_is_better: bool
