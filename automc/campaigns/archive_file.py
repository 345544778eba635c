"""The file that a campaign travels in: a zip of few, known members, of which none is executed or unpickled.

Whatever is in doubt is refused: other members, links, two of one name, other compression, more bytes than promised.
"""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from automc import files
from automc.errors import ConfigError

CAMPAIGN, ROWS = "campaign.json", "evaluations.jsonl"
RESULTS = ("sensitivities.yaml", "result.json", "recipe.yaml", "model.safetensors", "model.onnx")
"""What comes with a campaign, all but the first once it has finished. Reports are made anew: pages may hold scripts."""

_LINE = 4 << 20  # bytes of one evaluation
_MOST = {
    CAMPAIGN: 16 << 20,
    ROWS: 2 << 30,
    "result.json": 2 << 30,
    "recipe.yaml": 64 << 20,
    "sensitivities.yaml": 64 << 20,
    "model.safetensors": 16 << 30,
    "model.onnx": 2 << 30,  # more no ONNX file has: it is one protocol buffer
}
_TIGHTEST = 200  # bytes that a byte may become; evaluations of 81 choices have become 20 to 60
_SMALL = 1 << 20  # what is no larger than this may be packed tighter
_WEIGHTS = ("model.safetensors", "model.onnx")
_KNOWN_FLAGS = 0x08 | 0x800 | 0x06  # sizes after the data, names in UTF-8, how hard deflate tried


def write(path: Path, campaign: str, rows: Iterator[str], out: Path) -> None:
    """Writes an archive, whole or not at all.

    Args:
        path: the file.
        campaign: the campaign as JSON.
        rows: each evaluation as JSON.
        out: the folder with its results; those that are there are taken along.

    Raises:
        ConfigError: it cannot be written.
    """
    with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CAMPAIGN, campaign)
        with archive.open(ROWS, "w", force_zip64=True) as member:
            for row in rows:
                member.write(row.encode() + b"\n")
        for name in RESULTS:
            if (out / name).is_file():
                packed = zipfile.ZIP_STORED if name in _WEIGHTS else zipfile.ZIP_DEFLATED
                archive.write(out / name, name, compress_type=packed)


class Reader:
    """Reads an archive that anybody may have made.

    Args:
        path: the file.
        archive: the same, opened.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        members = archive.infolist()
        self.names = [member.filename for member in members]
        if not {CAMPAIGN, ROWS} <= set(self.names) or len(set(self.names)) < len(members):
            raise ConfigError(f"{path}: no campaign that automc exported")
        for member in members:
            self._check(member)

    def text(self, name: str) -> bytes:
        """Returns a member; raises ConfigError where it is damaged."""
        return self._archive.read(name)

    def rows(self) -> Iterator[bytes]:
        """Yields the evaluations, each as JSON."""
        with self._archive.open(ROWS) as member:
            while line := member.readline(_LINE + 1):
                if len(line) > _LINE or not line.endswith(b"\n"):
                    raise ConfigError(f"{self._path}: damaged: {ROWS} has a line without an end")
                yield line

    def copy(self, name: str, folder: Path) -> Path:
        """Copies a member into a folder; returns the file."""
        target = folder / name
        with self._archive.open(name) as member, target.open("wb") as file:
            shutil.copyfileobj(member, file)
        return target

    def _check(self, member: zipfile.ZipInfo) -> None:
        name, where = member.filename, f"{self._path}: {member.filename[:80]!r}"
        if name not in _MOST:
            raise ConfigError(f"{where}: no part of a campaign; nothing was imported")
        mode = member.external_attr >> 16
        if (mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode)) or member.is_dir():
            raise ConfigError(f"{where}: no plain file; nothing was imported")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & ~_KNOWN_FLAGS:
            raise ConfigError(f"{where}: packed or encrypted as automc does not; nothing was imported")
        tight = member.file_size > max(_SMALL, _TIGHTEST * member.compress_size)
        if member.file_size > _MOST[name] or tight:
            raise ConfigError(f"{where}: {member.file_size} bytes when unpacked, too many; nothing was imported")


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Opens an archive.

    Raises:
        ConfigError: it is missing or damaged, or has what no campaign has; also while it is read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield Reader(path, archive)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        EOFError,
        struct.error,
        UnicodeDecodeError,
        NotImplementedError,
    ) as error:
        raise ConfigError(f"{path}: damaged, or no campaign that automc exported ({error})") from None
