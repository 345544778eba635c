"""One campaign as it is looked at again and again: each of its rows is read once."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from automc.campaigns.campaign import Campaign
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.launch import FILES, LOG
from automc.campaigns.record import Status
from automc.campaigns.standing import Standing
from automc.campaigns.states import GOING
from automc.campaigns.storage import PATIENCE, Away
from automc.workspace.answers import CampaignDetail, CampaignSummary, EvaluationRow, FileInfo
from automc.workspace.shown import Shown

FRESH = 1.0
"""Seconds in which nobody looks again at what may change by itself."""

STALE = 5.0
"""Seconds beyond which nobody is answered by what was known, while somebody else looks again."""

_SETTLED, _ENDED = 10.0, 300.0  # the same where a campaign is paused or has failed, and where it has ended for good
_TAIL, _LINES = 8192, 5  # bytes of the log that are read, and lines of it that are shown


class Look:
    """What is known of one campaign; for any number of threads.

    Args:
        campaign: the campaign.
        shown: what of it is shown.
    """

    def __init__(self, campaign: Campaign, shown: Shown) -> None:
        self.campaign, self._shown = campaign, shown
        self._lock = threading.Lock()
        self._standing = Standing()
        self._rows: list[EvaluationRow] = []
        self._seen: dict[str, set[int]] = {}
        self._status: Status | None = None
        self._when, self._lasts = 0.0, FRESH
        self._detail: CampaignDetail | None = None
        self._summary: CampaignSummary | None = None
        self._noted = ""

    def forget(self) -> None:
        """Makes the next look a fresh one: something was changed."""
        with self._lock:
            self._lasts = -1.0

    def noted(self, state: str) -> None:
        """Takes what is noted of it now: where that has changed, the next look is a fresh one."""
        if state != self._noted:
            self._noted = state
            self.forget()

    def summary(self) -> CampaignSummary:
        """Returns what a list shows of it."""
        self.detail()
        assert self._summary is not None  # it comes with the other
        return self._summary

    def detail(self) -> CampaignDetail:
        """Returns all figures, none much older than `FRESH` where it is going.

        Where the storage does not wait for a database that is away, they are as known for as long as others would wait.
        """
        known, age = self._detail, time.monotonic() - self._when
        # while somebody looks, whoever can do with what was known a moment ago does not wait for that
        if not self._lock.acquire(blocking=known is None or self._lasts < 0 or age > self._lasts + STALE):
            assert known is not None
            return known
        try:
            age = time.monotonic() - self._when
            if self._detail is None or age > self._lasts:
                try:
                    self._detail = detail = self._read()
                except Away:
                    if self.campaign.storage.waits or self._detail is None or self._lasts < 0 or age > PATIENCE:
                        raise
                    return self._detail
                self._when = time.monotonic()
                self._summary = CampaignSummary(**{key: getattr(detail, key) for key in CampaignSummary.model_fields})
                state = detail.state
                self._lasts = FRESH if state in GOING else _SETTLED if state in ("paused", "failed") else _ENDED
            return self._detail
        finally:
            self._lock.release()

    def rows(self) -> list[EvaluationRow]:
        """Returns all evaluations that have ended, in that order; not to be changed. Later ones come after them."""
        self.detail()
        return self._rows

    @property
    def rows_known(self) -> list[EvaluationRow]:
        """Those of the last look; not to be changed."""
        return self._rows

    def _read(self) -> CampaignDetail:
        status = self.campaign.status()
        record, standing = status.record, self._standing
        standing.front.metric, *more = record.config.objectives
        standing.front.more = tuple(more)
        standing.front.higher_is_better = status.higher_is_better
        standing.front.limits = status.limits
        rows = []
        for when, done in self._news():
            self._seen.setdefault(done.agent, set()).add(done.number)
            standing.take(when, done)
            rows.append(_row(when, done))
        if rows:
            self._rows = [*self._rows, *rows]  # whoever has the old list goes on with it
        now = datetime.now()
        driven = status.driver is not None
        found = CampaignDetail(
            name=status.name,
            state=status.state,
            reason=status.reason,
            waiting=self.campaign.waiting,
            owner=record.owner,
            task=self._shown.task(record),
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
            started=_aware(status.started),
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
            since=_aware(status.since),
            folder=str(record.out),
            source=None if record.source is None else str(record.source),
        )
        return self._shown.detail(found, record)

    def _news(self) -> list[tuple[datetime, Evaluated]]:
        """Returns what has ended since the last look, in that order.

        Agents are read one after the other. What one of them ended meanwhile would come before what is already known
        of the next, so all are read again, up to the time of the newest.
        """
        first = self._unseen()
        if not first:
            return []
        newest = max(when for when, _ in first)
        news = [(when, done) for when, done in self._unseen() if when <= newest]
        return sorted(news, key=lambda one: (one[0], one[1].agent, one[1].number))

    def _unseen(self) -> list[tuple[datetime, Evaluated]]:
        journal = self.campaign.journal
        return [one for agent in journal.agents() for one in journal.news(agent, self._seen.get(agent, set()))]


def _aware(when: datetime | None) -> datetime | None:
    """Returns a time in UTC; Optuna's are local ones without a zone."""
    return when and when.astimezone(UTC)


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
