"""Progress with time left, on standard error, for everything that takes more than a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

_console = Console(stderr=True)


def duration(seconds: float) -> str:
    """Returns a time for people: in hours and minutes, in minutes and seconds, or in seconds."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.3g} s"


def say(message: str) -> None:
    """Prints one line on standard error: what is being done now."""
    _console.print(message, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bar(description: str, total: int, done: int = 0, hidden: bool = False) -> Iterator[Bar]:
    """Shows a progress bar while its block runs; yields an object whose ``advance()`` moves it by one.

    Args:
        description: what is being done.
        total: how many steps there are.
        done: how many of them were done before.
        hidden: whether it is not shown: what is done is a step of what another bar shows.
    """
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=_console,
        transient=False,
        disable=hidden,
    )
    with progress:
        yield Bar(progress, description, total, done)


class Bar:
    """One line of progress."""

    def __init__(self, progress: Progress, description: str, total: int, done: int) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total, completed=done)

    def advance(self, note: str | None = None) -> None:
        """Moves on by one step; ``note`` replaces the description."""
        self._progress.update(self._task, advance=1, description=note)

    def show(self, note: str, done: int) -> None:
        """Replaces the description and says how many steps are done: fewer than before where work starts anew."""
        self._progress.update(self._task, completed=done, description=note)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yields the items, showing a progress bar meanwhile."""
    count = total if total is not None else len(items) if isinstance(items, Sized) else None
    with bar(description, count or 0) as line:
        for item in items:
            yield item
            line.advance()
