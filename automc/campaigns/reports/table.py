"""The comparison of original, controls and best: its figures as text, and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from automc.campaigns.evaluated import failures
from automc.campaigns.result import Row, SearchResult
from automc.costs.units import number, scale
from automc.tasks.metrics import format_score, in_percent

if TYPE_CHECKING:
    from rich.table import Table


_DETAILED = 5  # more networks than that leave a terminal no room for what is below the figures


@dataclass(frozen=True)
class Cell:
    """One figure.

    Attributes:
        value: the figure; its unit is the column's.
        notes: what belongs below it.
        share: of the original's; empty for what is no cost, and for the original.
        spread: quartiles of the share; empty unless it was measured.
    """

    value: str
    notes: tuple[str, ...] = ()
    share: str = ""
    spread: str = ""


@dataclass(frozen=True)
class Column:
    """One property of all networks that are compared.

    Attributes:
        title: what it is.
        unit: of the cells' values; may be empty.
        cells: one for each of the result's rows.
    """

    title: str
    unit: str
    cells: tuple[Cell, ...]

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


def comparison(result: SearchResult) -> list[Column]:
    """Returns what the report compares, column by column."""
    original, rows, metric = result.row("original"), result.rows, result.metric
    columns = [
        _scores(f"Test {metric}", result, lambda row: row.test_score),
        _scores(f"Search {metric}", result, lambda row: row.search_score),
    ]
    if any(row.tuned for row in rows):
        columns.insert(0, _tuned(result))
    columns += [_measured(result)] if original.model else [_measured(result), _predicted(result)]
    costs: list[tuple[str, str, Callable[[Row], float]]] = [
        ("MACs", "macs", lambda row: row.predicted.macs),
        ("Parameters", "params", lambda row: row.predicted.params),
        ("Weights", "size", lambda row: row.predicted.size),
        ("ONNX file", "size", lambda row: row.file_size),
    ]
    if all(row.predicted.energy is not None for row in rows):
        costs.insert(0, ("Energy, not measured", "energy", lambda row: row.predicted.get("energy")))
    if all(row.predicted.memory is not None for row in rows):  # older results have none
        costs.append(("Memory", "memory", lambda row: row.predicted.get("memory")))
    for title, kind, get in costs:
        factor, unit = scale(kind, max(get(row) for row in rows))
        shares = ["" if row is original else _percent(get(row), get(original)) for row in rows]
        cells = (Cell(number(get(row) / factor), share=share) for row, share in zip(rows, shares, strict=True))
        columns.append(Column(title, unit, tuple(cells)))
    if all(row.measured.energy_uj is not None for row in rows):
        columns.append(_energy(result))
    if any(row.int8 and row.int8.asked for row in rows):
        columns.append(_int8(result))
    return [*columns, Column("Keeps budget", "", tuple(Cell("yes" if row.keeps_budget else "no") for row in rows))]


def twin(result: SearchResult, row: Row) -> str | None:
    """Returns the control whose policy is also this row's, if there is one."""
    if row.policy is None or row.name in result.controls:
        return None
    return next((name for name in result.controls if result.row(name).policy == row.policy), None)


def remark(result: SearchResult, row: Row) -> str:
    """Returns what belongs below a network's name: whose policy it is, and whether a control is over the budget."""
    if (found := twin(result, row)) is not None:
        return f"same as {found}"
    if row.name in result.controls:
        return "" if row.keeps_budget else "over the budget"
    return f"by {row.agent}" if row.agent else ""


def prediction_error(row: Row) -> float | None:
    """Returns predicted over measured latency minus one; None without a prediction, or without a measurement."""
    return None if row.predicted.latency is None or row.model else row.predicted.latency / row.measured.us - 1


def sentence(text: str) -> str:
    """Returns a text as one begins a sentence with it."""
    return text[:1].upper() + text[1:]


def signed(value: float, decimals: int = 1) -> str:
    """Returns a number with its sign, minus as in print."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def render_table(result: SearchResult) -> Table:
    """Returns the comparison for the terminal, one column a network, the verdict below."""
    from rich.table import Table
    from rich.text import Text

    failed = failures(result.evaluations)
    good, detailed = result.brought, len(result.rows) <= _DETAILED
    colour = "green" if good else "yellow"
    table = Table(
        title=Text(f"{result.task}: {', '.join(result.budgets)}", style="bold"),
        caption=Text(result.verdict, style=f"bold {colour}")
        .append(f"\n{result.forced}" if result.forced else "")
        .append(f"\n{failed}." if failed else "", style="not bold"),
        caption_justify="left",
        title_justify="left",
        padding=(0, 1) if detailed else (0, 0, 0, 1),
    )
    table.add_column("(% of the original)", header_style="dim", style="dim", overflow="fold")
    for row in result.rows:
        header = Text(row.name).append(f"\n{remark(result, row)}".rstrip(), style="dim")
        table.add_column(
            header,
            justify="right",
            style=colour if row.name == "best" else "",
            overflow="fold",
            min_width=min(len(row.name), 8),
        )
    for column in comparison(result):
        cells = []
        for cell in column.cells:
            text = Text(cell.value)
            text.append(f" ({cell.share})" if cell.share else "", style="dim")
            for note in filter(None, (*cell.notes, cell.spread) if detailed else ()):
                text.append(f"\n{note}", style="dim")
            cells.append(text)
        table.add_row(Text(column.heading), *cells)
    return table


def _scores(title: str, result: SearchResult, get: Callable[[Row], float]) -> Column:
    base = get(result.row("original"))
    cells = []
    for row in result.rows:
        change = () if row.name == "original" else (_change(get(row), base, result.metric),)
        cells.append(Cell(format_score(get(row), result.metric), change))
    return Column(title, "", tuple(cells))


def _tuned(result: SearchResult) -> Column:
    base, metric = result.row("original").test_score, result.metric
    cells = []
    for row in result.rows:
        if row.tuned is None:
            cells.append(Cell("–"))
        else:
            notes = (
                _change(row.tuned.test_score, base, metric),
                f"search {format_score(row.tuned.search_score, metric)}",
            )
            cells.append(Cell(format_score(row.tuned.test_score, metric), notes))
    return Column(f"Fine-tuned test {metric}", "", tuple(cells))


def _change(score: float, base: float, metric: str) -> str:
    return f"{signed(100 * (score - base), 2)} points" if in_percent(metric) else signed(score - base, 4)


def _measured(result: SearchResult) -> Column:
    factor, unit = scale("latency", max(row.measured.us for row in result.rows))
    cells = []
    for row in result.rows:
        time = row.measured
        quartiles = () if row.model else (f"{number(time.low / factor)}–{number(time.high / factor)}",)
        cell = Cell(number(time.us / factor), quartiles)
        if row.name != "original":
            spread = "" if row.model else f"{100 * time.ratio_low:.1f}–{100 * time.ratio_high:.1f}%"
            cell = replace(cell, share=f"{100 * time.ratio:.1f}%", spread=spread)
        cells.append(cell)
    return Column(sentence(result.rows[0].latency_is), unit, tuple(cells))


def _predicted(result: SearchResult) -> Column:
    known = [row.predicted.latency for row in result.rows if row.predicted.latency is not None]
    factor, unit = scale("latency", max(row.measured.us for row in result.rows)) if known else (1.0, "")
    cells = []
    for row in result.rows:
        error, latency = prediction_error(row), row.predicted.latency
        if error is None or latency is None:
            cells.append(Cell("–", ("no table",)))
        else:
            cells.append(Cell(number(latency / factor), (f"error {signed(100 * error)}%",)))
    return Column("Predicted latency", unit, tuple(cells))


def _energy(result: SearchResult) -> Column:
    spent = [row.measured.energy_uj or 0.0 for row in result.rows]
    shares = [
        "" if row.name == "original" else _percent(row.measured.energy_uj or 0.0, spent[0]) for row in result.rows
    ]
    cells = (Cell(number(uj / 1e3), share=share) for uj, share in zip(spent, shares, strict=True))
    return Column("Measured energy of the processor", "mJ", tuple(cells))


def _int8(result: SearchResult) -> Column:
    cells = []
    for found in (row.int8 for row in result.rows):
        if found is None:
            cells.append(Cell("–"))
        else:
            more = len(found.asked) - len(found.run)
            cells.append(
                Cell(f"{len(found.run)} of {found.layers}", (f"asked for {len(found.asked)}",) if more else ())
            )
    return Column("int8 layers", "", tuple(cells))


def _percent(value: float, whole: float) -> str:
    return f"{100 * value / whole:.1f}%" if whole else "–"
