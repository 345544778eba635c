"""``automc campaign watch``: a campaign as it goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from automc.cli.campaign_drive import LOG, Name, StorageOption, opened

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

    from automc.cli.campaign_show import Figures

T = TypeVar("T")

_PAUSE = 1.0  # seconds between two looks
_ROWS, _LINES = 8, 5  # of the front, of the log
_TAIL = 8192  # bytes of the log that are read
_COLOURS = {"running": "green", "finished": "bold green", "failed": "bold red", "cancelled": "yellow"}


def watch(
    name: Name,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and exit.")] = False,
    storage: StorageOption = None,
) -> None:
    """Watch a campaign until it ends or pauses; Ctrl-C ends the watching, not the campaign."""
    from rich.console import Console
    from rich.live import Live

    from automc.campaigns.campaign import Campaign
    from automc.cli.campaign_show import Figures

    console = Console()
    with opened(storage) as there:
        campaign = Campaign(there, name)
        figures = Figures(campaign)
        if once or not console.is_terminal:
            console.print(picture(figures, datetime.now()))
            return
        try:
            with Live(picture(figures, datetime.now()), console=console, auto_refresh=False) as live:
                while figures.status.state in ("queued", "running"):
                    time.sleep(_PAUSE)
                    figures = Figures(campaign, figures.standing)
                    live.update(picture(figures, datetime.now()), refresh=True)
        except KeyboardInterrupt:
            typer.echo(f"{name} is {figures.status.state} and is left alone")


def picture(figures: Figures, now: datetime) -> Group:
    """Returns what the terminal shows of a campaign.

    Args:
        figures: as they were read.
        now: when, without a zone.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    status = figures.status
    config = status.record.config
    title = Text.assemble((status.name, "bold"), " ", (status.state, _COLOURS.get(status.state, "")))
    about = f"{config.subject}, {', '.join(config.budget)}, {config.agent}"
    parts: list[RenderableType] = [Panel(_head(figures, now), title=title, subtitle=about, title_align="left")]
    if figures.standing.front.points:
        parts.append(_front(figures))
    parts += [Text(f"failed: {why}", style="red") for why in figures.standing.failures[-1:]]
    parts += [
        Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in last_lines(status.record.out / LOG)
    ]
    return Group(*parts)


def _head(figures: Figures, now: datetime) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from automc.progress import duration

    status, standing = figures.status, figures.standing
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column()
    if status.reason:
        lines.add_row("reason", Text(status.reason))
    found = f", found by {standing.front.best.agent} ({standing.front.best.number})" if standing.front.best else ""
    lines.add_row("best", f"{figures.best or 'none yet'}{found}")
    lines.add_row("evaluations", _pace(figures, now))
    evaluating = standing.workers(now) if status.driver else {}
    workers = ", ".join(f"{worker} ({count})" for worker, count in sorted(evaluating.items()))
    lines.add_row(
        "workers", workers or ("none has ended an evaluation in the last minutes" if status.driver else "none")
    )
    lines.add_row("driver", status.driver or "none")
    lines.add_row("time", f"{duration(status.seconds)} driven, {duration(status.worker_seconds)} of workers")
    total = status.total or 1
    return Group(lines, ProgressBar(total=total, completed=min(status.evaluations, total)))


def _pace(figures: Figures, now: datetime) -> str:
    """Returns how many evaluations there are, how quick they come, and how long the others will take."""
    from automc.progress import duration

    status = figures.status
    said = [figures.progress]
    if status.under_way:
        said.append(f"{status.under_way} under way")
    if status.failed:
        said.append(f"{status.failed} failed")
    rate = figures.standing.rate(status.since, now) if status.driver and status.since else None
    if rate is not None:
        said.append(f"{rate:.3g} a minute")
        left = (status.total or 0) - status.evaluations
        said.append(f"{duration(60 * left / rate)} left" if left > 0 else "finalists are under way")
    return ", ".join(said)


def _front(figures: Figures) -> RenderableType:
    from rich.table import Table

    table = Table(title="front", title_justify="left", expand=False)
    *columns, last = figures.front_columns
    for column in columns:
        table.add_column(column, justify="right")
    table.add_column(last)
    for point in spread(figures.standing.front.points, _ROWS):
        table.add_row(*figures.front_line(point))
    return table


def spread(items: Sequence[T], most: int) -> list[T]:
    """Returns at most so many items, the first and the last among them, the others evenly between."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def last_lines(log: Path) -> list[str]:
    """Returns the last lines of a log; none where there is no such file on this machine."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _TAIL, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-_LINES:]
