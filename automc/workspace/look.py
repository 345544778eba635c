"""One campaign as it is looked at again and again: each of its rows is read once."""

from __future__ import annotations

import threading
import time
from bisect import insort
from datetime import UTC, datetime
from pathlib import Path

from automc.campaigns.campaign import Campaign
from automc.campaigns.launch import FILES, LOG
from automc.campaigns.record import Status
from automc.campaigns.result import Evaluated
from automc.campaigns.standing import Standing
from automc.workspace.answers import CampaignDetail, CampaignSummary, EvaluationRow, FileInfo

FRESH, SETTLED = 1.0, 10.0
"""Seconds in which nobody looks again; the second where a campaign is neither queued nor running."""

GOING = ("queued", "running")
"""States in which a campaign may change by itself."""

_TAIL, _LINES = 8192, 5  # bytes of the log that are read, and lines of it that are shown


class Look:
    """What is known of one campaign; for any number of threads.

    Args:
        campaign: the campaign.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self._lock = threading.Lock()
        self._standing = Standing()
        self._rows: list[EvaluationRow] = []
        self._seen: dict[str, set[int]] = {}
        self._status: Status | None = None
        self._when, self._lasts = 0.0, FRESH
        self._detail: CampaignDetail | None = None

    def forget(self) -> None:
        """Makes the next look a fresh one: something was changed."""
        with self._lock:
            self._lasts = -1.0

    def summary(self) -> CampaignSummary:
        """Returns what a list shows of it."""
        detail = self.detail()
        return CampaignSummary(**{name: getattr(detail, name) for name in CampaignSummary.model_fields})

    def detail(self) -> CampaignDetail:
        """Returns all figures, none older than `FRESH`."""
        with self._lock:
            if self._detail is None or time.monotonic() - self._when > self._lasts:
                self._detail = self._read()
                self._when = time.monotonic()
                self._lasts = FRESH if self._detail.state in GOING else SETTLED
            return self._detail

    def rows(self) -> list[EvaluationRow]:
        """Returns all evaluations that have ended, in that order; not to be changed."""
        self.detail()
        return self._rows

    def _read(self) -> CampaignDetail:
        status = self.campaign.status()
        record, standing = status.record, self._standing
        standing.front.metric, *more = record.config.objectives
        standing.front.more = tuple(more)
        standing.front.higher_is_better = status.higher_is_better
        standing.front.limits = status.limits
        journal, rows = self.campaign.journal, list(self._rows)
        for agent in journal.agents():
            seen = self._seen.setdefault(agent, set())
            for when, done in journal.news(agent, seen):
                seen.add(done.number)
                standing.take(when, done)
                insort(rows, _row(when, done), key=lambda row: row.cursor)
        self._rows = rows  # whoever has the old list goes on with it
        now = datetime.now()
        driven = status.driver is not None
        return CampaignDetail(
            name=status.name,
            state=status.state,
            reason=status.reason,
            waiting=self.campaign.waiting,
            owner=record.owner,
            task=record.config.subject,
            agent=record.config.agent,
            budget=list(record.config.budget),
            seed=record.config.seed,
            evaluations=status.evaluations,
            failed=status.failed,
            under_way=status.under_way,
            total=status.total,
            metric=status.metric,
            higher_is_better=status.higher_is_better,
            best=standing.front.best,
            cost_is=standing.front.metric,
            seconds=status.seconds,
            worker_seconds=status.worker_seconds,
            created=record.created,
            started=status.started,
            ended=status.ended,
            driver=status.driver,
            config=record.config.model_dump(mode="json"),
            limits=status.limits,
            front=list(standing.front.points),
            front_over=[standing.front.metric, *standing.front.more],
            counts=dict(standing.counts),
            failures=list(standing.failures),
            rate=standing.rate(status.since, now) if driven and status.since else None,
            workers=standing.workers(now) if driven else {},
            files=written(record.out),
            log=last_lines(record.out / LOG),
            since=status.since,
            folder=str(record.out),
            source=None if record.source is None else str(record.source),
        )


def _row(when: datetime, done: Evaluated) -> EvaluationRow:
    ended = when.astimezone(UTC)
    return EvaluationRow(
        cursor=f"{ended:%Y%m%dT%H%M%S.%f}-{done.agent}-{done.number:06d}",
        agent=done.agent,
        number=done.number,
        score=done.score,
        change=done.change,
        error=done.error,
        predicted=done.predicted,
        seconds=done.seconds,
        rung=done.rung,
        worker=done.worker,
        ended=ended,
    )


def written(out: Path) -> list[FileInfo]:
    """Returns what a campaign has written for people, as far as it is there."""
    found = []
    for name in (*FILES, LOG):
        try:
            found.append(FileInfo(name=name, size=(out / name).stat().st_size))
        except OSError:
            continue
    return found


def last_lines(log: Path) -> list[str]:
    """Returns the last lines of a log; none where there is no such file on this machine."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _TAIL, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-_LINES:]
