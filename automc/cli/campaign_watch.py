"""``automc campaign watch``: a campaign as it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from automc.cli.campaign_drive import Name, StorageOption
from automc.cli.campaign_show import best, front_columns, front_line, progress
from automc.cli.workspaces import ServerOption, open_workspace

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

    from automc.workspace.answers import CampaignDetail

T = TypeVar("T")

_ROWS = 8  # of the front
_COLOURS = {"running": "green", "finished": "bold green", "failed": "bold red", "cancelled": "yellow"}


def watch(
    name: Name,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and exit.")] = False,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Watch a campaign until it ends or pauses; Ctrl-C ends the watching, not the campaign."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with open_workspace(storage, server) as there:
        found = there.campaigns.show(name)
        if once or not console.is_terminal:
            console.print(picture(found))
            return
        try:
            with Live(picture(found), console=console, auto_refresh=False) as live:
                for found in there.campaigns.watch(name):
                    live.update(picture(found), refresh=True)
        except KeyboardInterrupt:
            typer.echo(f"{name} is {found.state} and is left alone")


def picture(found: CampaignDetail) -> Group:
    """Returns what the terminal shows of a campaign."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    title = Text.assemble((found.name, "bold"), " ", (found.state, _COLOURS.get(found.state, "")))
    about = f"{found.task}, {', '.join(found.budget)}, {found.agent}"
    parts: list[RenderableType] = [Panel(_head(found), title=title, subtitle=about, title_align="left")]
    if found.front:
        parts.append(_front(found))
    parts += [Text(f"failed: {why}", style="red") for why in found.failures[-1:]]
    parts += [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in found.log]
    return Group(*parts)


def _head(found: CampaignDetail) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from automc.progress import duration

    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column()
    if found.reason:
        lines.add_row("reason", Text(found.reason))
    by = f", found by {found.best.agent} ({found.best.number})" if found.best else ""
    lines.add_row("best", f"{best(found) or 'none yet'}{by}")
    lines.add_row("evaluations", _pace(found))
    workers = ", ".join(f"{worker} ({count})" for worker, count in sorted(found.workers.items()))
    lines.add_row(
        "workers", workers or ("none has ended an evaluation in the last minutes" if found.driver else "none")
    )
    lines.add_row("driver", found.driver or "none")
    lines.add_row("time", f"{duration(found.seconds)} driven, {duration(found.worker_seconds)} of workers")
    total = found.total or 1
    return Group(lines, ProgressBar(total=total, completed=min(found.evaluations, total)))


def _pace(found: CampaignDetail) -> str:
    """Returns how many evaluations there are, how quick they come, and how long the others will take."""
    from automc.progress import duration

    said = [progress(found)]
    if found.under_way:
        said.append(f"{found.under_way} under way")
    if found.failed:
        said.append(f"{found.failed} failed")
    if found.rate is not None:
        said.append(f"{found.rate:.3g} a minute")
        left = (found.total or 0) - found.evaluations
        said.append(f"{duration(60 * left / found.rate)} left" if left > 0 else "finalists are under way")
    return ", ".join(said)


def _front(found: CampaignDetail) -> RenderableType:
    from rich.table import Table

    table = Table(title="front", title_justify="left", expand=False)
    *columns, last = front_columns(found)
    for column in columns:
        table.add_column(column, justify="right")
    table.add_column(last)
    for point in spread(found.front, _ROWS):
        table.add_row(*front_line(found, point))
    return table


def spread(items: Sequence[T], most: int) -> list[T]:
    """Returns at most so many items, the first and the last among them, the others evenly between."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]
