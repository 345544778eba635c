"""The latency tables among the user's data."""

from __future__ import annotations

import re
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from automc import files
from automc.campaigns import Subject, read_subject
from automc.costs import Forecast, forecast
from automc.devices import Device, LocalBench
from automc.errors import AutoMCError, Conflict, Invalid, NotFound, TableError, nearest, one_line
from automc.latency_tables import Hardware, LatencyTable, Signature, WithEstimates, load_table, save_table, table_path
from automc.latency_tables.compare import QUANTILES, compare
from automc.latency_tables.simulated import ACCELERATORS
from automc.latency_tables.validation import trust
from automc.search_spaces import Policy
from automc.tasks import load_task
from automc.workspace._base import Tables
from automc.workspace.answers import (
    NetworkAnswer,
    NetworkRequest,
    OperatorAnswer,
    OperatorRow,
    Page,
    TableComparison,
    TableDetail,
    TableSummary,
)
from automc.workspace.registry import Registry

_LARGEST = 20  # operators that a comparison names
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")  # of a device whose table is added
_THREADS, _BATCH, _LONGEST = 4096, 256, 300  # that it may have; characters


class LocalTables(Tables):
    """Tables of a folder; any number of threads may ask.

    Args:
        registry: whose tasks networks may be asked for.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._tables: dict[str, tuple[int, LatencyTable]] = {}
        self._subjects: dict[tuple[str, int], Subject] = {}

    def all(self) -> list[TableSummary]:
        """See `Tables.all`."""
        found = []
        for path in sorted(_folder().glob("*.yaml")):
            try:
                found.append(_summary(path.stem, self._table(path.stem)))
            except (NotFound, TableError):  # somebody is at work there; who asks for it by name is told
                continue
        return found

    def show(self, table: str) -> TableDetail:
        """See `Tables.show`."""
        there = self._table(table)
        return TableDetail(
            **dict(_summary(table, there)),
            method=there.method,
            repeatability=there.repeatability,
            overhead_us={
                name: value for name, value in asdict(there.overhead).items() if isinstance(value, float | int)
            },
            kinds=dict(Counter(signature.op for signature in there.entries)),
            fitted_on=dict(Counter(whole.subject for whole in there.wholes)),
        )

    def operators(
        self, table: str, *, contains: str = "", kind: str | None = None, offset: int = 0, limit: int = 50
    ) -> Page[OperatorRow]:
        """See `Tables.operators`."""
        entries = self._table(table).entries
        found = sorted(
            (str(signature), entry)
            for signature, entry in entries.items()
            if contains in str(signature) and kind in (None, signature.op)
        )
        rows = [
            OperatorRow(operator=line, us=e.us, low=e.low, high=e.high, runs=e.runs, drifted=e.drifted)
            for line, e in found[offset : offset + limit]
        ]
        return Page(items=rows, total=len(found), offset=offset)

    def query(self, table: str, operators: Sequence[str], estimate: bool = False) -> list[OperatorAnswer]:
        """See `Tables.query`."""
        there = self._table(table)
        hardware = WithEstimates(there) if estimate else there
        answers = []
        for line in operators:
            try:
                answers.append(operator_answer(hardware, line))
            except TableError as error:
                answers.append(OperatorAnswer(operator=line, error=str(error)))
        return answers

    def network(self, table: str, request: NetworkRequest) -> NetworkAnswer:
        """See `Tables.network`."""
        there = self._table(table)
        hardware = WithEstimates(there) if request.estimate else there
        subject = self._subject(request.task, there.device.batch)
        try:
            policy = None if request.policy is None else Policy.from_dict(request.policy)
        except (TypeError, ValueError) as error:
            raise Invalid([("policy", one_line(error))]) from None
        return network_answer(forecast(subject.graph, hardware, policy), request.breakdown)

    def add(self, text: str, replace: bool = False) -> TableSummary:
        """See `Tables.add`."""
        folder = _folder()
        files.ensure_writable(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".upload-") as name:
            upload = Path(name) / "table.yaml"
            upload.write_text(text, encoding="utf-8")
            try:
                table = load_table(upload)
            except AutoMCError as error:
                raise TableError(str(error).replace(str(upload), "the table")[:500]) from None
        if (lie := _impossible(table.device)) is not None:
            raise TableError(f"the table: {lie}")
        if table.device.key == LocalBench(table.device.threads, table.device.batch).device.key:
            raise Conflict("it claims to be of the machine that this runs on, which measures itself")
        path = table_path(table.device)
        with self._lock:
            if path.exists() and not replace:
                raise Conflict(f"there is a table of this device already: {path.stem}")
            save_table(table, path)
        return _summary(path.stem, self._table(path.stem))

    def text(self, table: str) -> str:
        """See `Tables.text`."""
        self._table(table)
        try:
            return (_folder() / f"{table}.yaml").read_text(encoding="utf-8")
        except OSError:
            raise NotFound(f"no latency table '{table[:80]}' any more") from None

    def compare(self, first: str, second: str) -> TableComparison:
        """See `Tables.compare`."""
        found = compare(self._table(first), self._table(second))
        return TableComparison(
            device=found.device,
            operators=found.ratios.operators,
            median=found.ratios.median,
            quantiles={f"{share:g}": value for share, value in zip(QUANTILES, found.ratios.quantiles, strict=False)},
            by_kind={kind: (ratios.median, ratios.operators) for kind, ratios in found.by_kind.items()},
            largest=[(str(one.signature), one.first, one.second) for one in found.largest[:_LARGEST]],
            only_first=len(found.only_first),
            only_second=len(found.only_second),
        )

    def _table(self, name: str) -> LatencyTable:
        there = {path.stem: path for path in _folder().glob("*.yaml")}
        if name not in there:
            raise NotFound(f"no latency table '{name[:80]}'{nearest(name, there)}")
        try:
            stamp = there[name].stat().st_mtime_ns
        except OSError:
            raise NotFound(f"no latency table '{name[:80]}' any more") from None
        with self._lock:
            known = self._tables.get(name)
        if known is None or known[0] != stamp:
            known = (stamp, load_table(there[name]))
            with self._lock:
                self._tables[name] = known
        return known[1]

    def _subject(self, name: str, batch: int) -> Subject:
        registered = self._registry.task(name)
        with self._reading:  # reading one takes seconds; who asks meanwhile waits
            if (name, batch) not in self._subjects:
                task = load_task(registered.task, registered.args, self._registry.folder)
                self._subjects[name, batch] = read_subject(task, LocalBench(1, batch))
            return self._subjects[name, batch]


def network_answer(found: Forecast, breakdown: bool) -> NetworkAnswer:
    """Returns a forecast as plain data, with every operator where that is wanted."""
    return NetworkAnswer(
        cost=found.cost,
        low=found.low,
        high=found.high,
        interval=found.interval,
        run_us=found.run_us,
        shares=found.shares,
        counts=found.counts,
        breakdown=[
            OperatorAnswer(operator=f"{one.name}: {one.signature}", us=one.us, low=one.low, high=one.high, how=one.how)
            for one in (found.operators if breakdown else ())
        ],
    )


def operator_answer(hardware: Hardware, line: str) -> OperatorAnswer:
    """Returns what an operator will take; raises TableError where that is not known, or the line stands for none."""
    signature = Signature.parse(line)
    found = hardware.lookup(signature)
    return OperatorAnswer(
        operator=str(signature),
        us=found.us,
        low=found.low,
        high=found.high,
        how=found.how,
        energy_uj=hardware.energy(signature),
    )


def _folder() -> Path:
    return files.home() / "latency_tables"


def _impossible(device: Device) -> str | None:
    """Returns why there can be no such device, or why no table can be of it; None where there can.

    Its name becomes that of a file.
    """
    if not _NAME.fullmatch(device.name):
        return "device.name: letters, digits, '.', '_' and '-', 40 at most"
    if device.name in ACCELERATORS:
        return f"device.name: {device.name} is an accelerator on paper, which answers by its formulas"
    if device.threads > _THREADS or device.batch > _BATCH:
        return f"device: {_THREADS} threads and a batch of {_BATCH} at most"
    if max(map(len, (device.processor, device.runtime, *device.instructions))) > _LONGEST:
        return f"device: names of {_LONGEST} characters at most"
    return None


def _summary(name: str, table: LatencyTable) -> TableSummary:
    return TableSummary(
        id=name,
        device=table.device,
        operators=len(table.entries),
        measured_at=table.measured_at,
        imported=table.imported,
        validations=list(table.validations),
        trust=trust(table.validations),
    )
