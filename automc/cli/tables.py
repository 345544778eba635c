"""What the commands about latency tables share: their options, and finding a device's table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from automc.devices import Device
    from automc.latency_tables import Hardware, LatencyTable, Target

Threads = Annotated[int | None, typer.Option(help="Threads of one inference.  [default: CONFIG's, or 1]", min=1)]
Batch = Annotated[int | None, typer.Option(help="Examples in one inference.  [default: CONFIG's, or 1]", min=1)]
TablePath = Annotated[
    Path | None, typer.Option("--table", help="A table's file, or a server's ID of one.  [default: the device's own]")
]
DeviceName = Annotated[str | None, typer.Option("--device", help="The device.  [default: CONFIG's, or local]")]
Guess = Annotated[bool, typer.Option("--estimate", help="Estimate operators never measured by a roofline.")]
Force = Annotated[bool, typer.Option("--force", help="Use a table though it is of another device; the answer says so.")]


@dataclass(frozen=True)
class Source:
    """What answers.

    Attributes:
        hardware: a table, or an accelerator on paper.
        path: where the table lies, or None.
        forced: what differs between the table's device and the one asked for, where that was forced.
    """

    hardware: Hardware
    path: Path | None
    forced: str | None = None

    @property
    def imported(self) -> str | None:
        """From what file of another program the table is, or None."""
        return self.hardware.imported

    def lines(self) -> list[str]:
        """Returns what has to be said of it, beside its device."""
        lines = [f"imported from {self.imported}; not measured by AutoMC"] if self.imported else []
        return lines + ([f"table of another device, forced: {self.forced}"] if self.forced else [])

    def data(self) -> dict[str, object]:
        """Returns the same, and the device, for scripts."""
        return {
            "device": self.hardware.device.model_dump(mode="json"),
            "table": None if self.path is None else str(self.path),
            "forced": self.forced,
            "imported": self.imported,
        }


def open_source(table: Path | None, target: Target, force: bool = False) -> Source:
    """Returns what prices operators of a device: an accelerator's own formulas, a table by name, or the user's own.

    Raises:
        ConfigError: an accelerator on paper has formulas and takes no table.
        TableError: there is no table, it is damaged, or it is of another device and that is not forced.
    """
    from automc.errors import ConfigError, TableError
    from automc.latency_tables import Hardware, open_table, table_path

    device = target.device
    if isinstance(target, Hardware):
        if table is not None:
            raise ConfigError(f"--table: {device.name} is simulated and answers by its formulas; leave the table out")
        return Source(target, None)
    if table is None:
        path = table_path(device)
        if not path.exists():
            raise TableError(
                f"no latency table yet for this device at {device.threads} thread(s), batch {device.batch}; "
                "measure one: automc latency measure TASK"
            )
        return Source(open_table(path, device), path)  # nothing that is forced ever reaches the user's own table
    found = open_table(table, device, force)
    return Source(found, table, device.mismatch(found.device))


def read_source(
    table: Path | None, device: str | None, threads: int | None, batch: int | None, force: bool = False
) -> Source:
    """Returns the same for a look at a table: one whose device was not asked for is read for what it is."""
    from automc.latency_tables import load_table, open_target

    if table is not None and (device, threads, batch) == (None, None, None):
        return Source(load_table(table), table)
    return open_source(table, open_target(device or "local", threads or 1, batch or 1), force)


@contextmanager
def source_there(server: str, table: Path | None, **options: object) -> Iterator[Source]:
    """Yields what answers for a look at a server's table: the table itself, fetched.

    Args:
        server: its address.
        table: the table's identifier.
        **options: those that are about this machine, as they were given; see `only_here`.
    """
    from automc.cli.workspaces import open_tables
    from automc.latency_tables import load_table

    with tempfile.TemporaryDirectory(prefix="automc-") as folder, open_tables(server) as there:
        path = Path(folder) / "table.yaml"
        path.write_text(there.text(table_there(table, **options)), encoding="utf-8")
        yield Source(load_table(path), Path(str(table)))


def table_there(table: str | Path | None, **options: object) -> str:
    """Returns the identifier of a server's table; raises ConfigError where none was given."""
    from automc.cli.workspaces import only_here
    from automc.errors import ConfigError

    only_here(**options)
    if table is None:
        raise ConfigError("say which of the server's tables: --table ID (automc latency list shows them)")
    return str(table)


def with_estimates(source: Source) -> Source:
    """Returns what answers, a table with estimates of what it does not know."""
    from dataclasses import replace

    from automc.latency_tables import WithEstimates

    return replace(source, hardware=WithEstimates(table_of(source)))


def table_of(source: Source) -> LatencyTable:
    """Returns the table of what answers; raises ConfigError where there is none."""
    from automc.errors import ConfigError
    from automc.latency_tables import LatencyTable

    if not isinstance(source.hardware, LatencyTable):
        raise ConfigError(f"{source.hardware.device.name} is simulated: it answers by its formulas and has no table")
    return source.hardware


def say_device(device: Device) -> str:
    """Returns a device in a line."""
    return f"{device.processor}, {device.runtime}, {device.threads} thread(s), batch {device.batch}"
