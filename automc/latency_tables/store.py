"""Latency tables as files: versioned, one operator a line, sorted, so that they can be compared with diff."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from automc import files
from automc.devices.bench import Bench
from automc.devices.device import Device
from automc.errors import TableError
from automc.latency_tables.build import extend_table
from automc.latency_tables.imported import ImportedTable
from automc.latency_tables.measure import new_table
from automc.latency_tables.overhead import Correction, Overhead, Whole
from automc.latency_tables.signature import Signature
from automc.latency_tables.table import Entry, LatencyTable
from automc.latency_tables.validation import Validation

VERSION = 2


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


_Us = Annotated[FiniteFloat, Field(ge=0, le=1e12)]  # microseconds, finite in sums too
_Factor = Annotated[FiniteFloat, Field(ge=-1e12, le=1e12)]


class _Correction(_Strict):
    scale: _Factor
    us: _Factor


class _Overhead(_Strict):
    run: _Factor
    kernel: _Factor
    int8: _Factor
    kinds: dict[str, _Correction] = {}


class _Whole(_Strict):
    subject: str
    policy: str
    us: _Us = Field(gt=0)
    kinds: dict[str, tuple[_Factor, Annotated[int, Field(ge=0, le=10**6)]]]


class _Imported(_Strict):
    source: str
    per_layer: bool


class _Entry(_Strict):
    us: _Us
    low: _Us
    high: _Us
    runs: int = Field(ge=1, le=10**12)
    kernels: int = Field(default=1, ge=1, le=10**6)
    drifted: bool = False


class _File(_Strict):
    version: int
    device: Device
    measured_at: str
    method: str
    repeatability: _Us = 0.0
    reference_us: _Us = 0.0
    wholes: tuple[_Whole, ...] = ()
    validations: tuple[Validation, ...] = ()
    imported: _Imported | None = None
    overhead_us: _Overhead
    operators: dict[str, _Entry]


def table_path(device: Device) -> Path:
    """Returns where the user's own table of a device lies."""
    return files.home() / "latency_tables" / f"{device.key}.yaml"


def load_table(path: Path) -> LatencyTable:
    """Reads a table; raises TableError when it is missing, damaged or of a newer version."""
    data = files.read_yaml(path, _File, TableError, version=VERSION)
    try:
        entries = {Signature.parse(line): Entry(**entry.model_dump()) for line, entry in data.operators.items()}
    except TableError as error:
        raise TableError(f"{path}: {error}") from None
    if len(entries) < len(data.operators):
        raise TableError(f"{path}: an operator is there twice, written in two ways; the file was edited by hand")
    make: Callable[..., LatencyTable] = LatencyTable
    if data.imported is not None:
        make = partial(ImportedTable, imported=data.imported.source, per_layer=data.imported.per_layer)
    return make(
        device=data.device,
        overhead=_overhead(data.overhead_us),
        entries=entries,
        measured_at=data.measured_at,
        method=data.method,
        validations=data.validations,
        repeatability=data.repeatability,
        reference_us=data.reference_us,
        wholes=tuple(Whole(**whole.model_dump()) for whole in data.wholes),
    )


def save_table(table: LatencyTable, path: Path) -> None:
    """Writes a table, whole or not at all."""
    data = {
        "version": VERSION,
        "device": table.device.model_dump(mode="json"),
        "measured_at": table.measured_at,
        "method": table.method,
        "repeatability": table.repeatability,
        "reference_us": table.reference_us,
        "validations": [validation.model_dump(mode="json") for validation in table.validations],
        **(
            {"imported": {"source": table.imported, "per_layer": table.per_layer}}
            if isinstance(table, ImportedTable)
            else {}
        ),
        "overhead_us": asdict(table.overhead),
        "wholes": [_plain(whole) for whole in table.wholes],
        "operators": {str(signature): _line(entry) for signature, entry in sorted(table.entries.items())},
    }
    files.write_text(path, files.dump_yaml(data))


def ensure_table(
    bench: Bench,
    signatures: Sequence[Signature],
    candidates: Sequence[Signature] = (),
    seconds: float | None = None,
    path: Path | None = None,
) -> tuple[LatencyTable, bool]:
    """Returns a device's table with at least these operators, and whether it needed no measuring.

    What it lacks is measured on the device and added to its file, piece by piece: who stops it loses nothing.

    Args:
        bench: the device.
        signatures: operators that it must answer for.
        candidates: more of them, measured after these where predictions are least sure; see `extend_table`.
        seconds: after which no further piece is begun.
        path: the table's file; by default the user's own table of the device.

    Raises:
        TableError: the table's file is damaged or belongs to another device; it is left as it is. Or an operator
            cannot be measured.
    """
    own = path is None or path == table_path(bench.device)
    path = path or table_path(bench.device)
    files.ensure_writable(path.parent)
    if path.exists():
        try:
            table = load_table(path)
            if difference := bench.device.mismatch(table.device):
                raise TableError(f"{path}: measured on another device ({difference})")
        except TableError as error:
            mend = ". It is AutoMC's own: delete it and it will be measured anew" if own else ""
            raise TableError(f"{error}{mend}") from None
        signatures = [signature for signature in signatures if not table.covers(signature)]
        if not signatures and not candidates:
            return table, True
    else:
        table = new_table(bench)
    known = table.entries
    table = extend_table(bench, table, signatures, candidates, seconds, lambda table: save_table(table, path))
    return table, table.entries == known


def open_table(path: Path, device: Device, force: bool = False) -> LatencyTable:
    """Reads a table for use on a device.

    Args:
        path: its file.
        device: what it is to be used for.
        force: use it even where it is of another device. Whatever rests on it then has to say so; what differs is
            ``device.mismatch(table.device)``.

    Raises:
        TableError: it is damaged, or was measured on another device or with other settings; the difference is named.
    """
    table = load_table(path)
    difference = device.mismatch(table.device)
    if difference and not force:
        raise TableError(
            f"{path}: measured on another device ({difference}); measure one here, choose its device, or force it: "
            "--force, in a configuration force_table: true"
        )
    return table


def _overhead(data: _Overhead) -> Overhead:
    kinds = {kind: Correction(**correction.model_dump()) for kind, correction in data.kinds.items()}
    return Overhead(data.run, data.kernel, data.int8, kinds)


def _plain(whole: Whole) -> dict[str, Any]:
    return asdict(whole) | {"kinds": {kind: list(pair) for kind, pair in whole.kinds.items()}}


def _line(entry: Entry) -> dict[str, float]:
    line: dict[str, float] = {"us": entry.us, "low": entry.low, "high": entry.high, "runs": entry.runs}
    line |= {"kernels": entry.kernels} if entry.kernels > 1 else {}
    return line | ({"drifted": True} if entry.drifted else {})
