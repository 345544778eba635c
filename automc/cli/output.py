"""What commands print: JSON for scripts, tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, for scripts.")]
SUBJECT_HELP = "A task's name, path.py:Class, or a search's CONFIG.yaml."


def print_json(data: Any) -> None:
    """Prints data as JSON on standard output."""
    typer.echo(json.dumps(data, indent=1))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], only_first_folds: bool = False
) -> None:
    """Prints a table on standard output; where it is too wide, all columns but the first fold, or the first alone."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=(number == 0) != only_first_folds)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


def print_facts(title: str, facts: Iterable[tuple[str, object]]) -> None:
    """Prints what there is to know of one thing on standard output, one fact a line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, fact in facts:
        grid.add_row(name, Text(str(fact)))
    Console().print(Text(title, style="bold"), grid)
