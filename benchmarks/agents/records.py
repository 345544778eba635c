"""Results as lines of JSON: appended one by one, by one process at a time."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from automc import files
from automc.errors import ConfigError

Row = dict[str, Any]


class Journal:
    """A file of rows that grows; whoever has it open is the only one that writes it.

    What was appended last may have been cut short when its process was killed: it is taken off.

    Args:
        path: the file.

    Attributes:
        rows: all that it holds.

    Raises:
        ConfigError: another process has it open, or one of its lines is none.
    """

    def __init__(self, path: Path) -> None:
        files.ensure_writable(path.parent)
        self.path = path
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process, however that ends
        except OSError:
            self._file.close()
            raise ConfigError(f"{path}: another process is writing it; wait for it, or give another --out") from None
        self._file.seek(0)
        whole = self._file.read().rpartition(b"\n")
        self._file.truncate(len(whole[0]) + len(whole[1]))
        try:
            self.rows = read_rows(path)
        except ConfigError:
            self.close()
            raise

    def append(self, row: Row) -> None:
        """Adds a row, on the disk when this returns."""
        self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows.append(row)

    def close(self) -> None:
        """Lets others write it."""
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_rows(path: Path) -> list[Row]:
    """Returns the rows of a file, none where there is no file; what has no end yet is left out."""
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            raise ConfigError(f"{path}, line {number}: no JSON; delete the line, or the file") from None
    return rows
