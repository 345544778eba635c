"""A table as comma-separated values, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from dataclasses import astuple, fields
from pathlib import Path

from automc import files
from automc.latency_tables.signature import Signature
from automc.latency_tables.table import Entry, LatencyTable

COLUMNS = ("operator", "op", "weight_bits", "activation_bits", "channels", "rest", *(f.name for f in fields(Entry)))
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(table: LatencyTable, path: Path) -> None:
    """Writes all entries of a table, one a line under a line of names, whole or not at all.

    A text that a spreadsheet would take for a formula gets an apostrophe before it: signatures come from files.
    """
    with files.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for signature, entry in sorted(table.entries.items()):
            writer.writerow([*map(_safe, _split(signature)), *astuple(entry)])


def _split(signature: Signature) -> list[str]:
    line = str(signature)
    op, channels, *rest = line.split(" ", 2)
    return [line, op, *map(str, signature.bits), channels, *(rest or [""])]


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
