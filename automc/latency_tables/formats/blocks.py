"""Latency tables of ProxylessNAS and once-for-all: YAML, one entry for each whole block of a mobile network.

The layout is that which ``search/utils/latency_estimator.py`` in github.com/mit-han-lab/proxylessnas and
``ofa/nas/efficiency_predictor/latency_lookup_table.py`` in github.com/mit-han-lab/once-for-all read::

    expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:3-stride:2-idskip:0:
      {count: 168, mean: 11.3, var: 0.12}

A block is an expansion, a depthwise convolution and a projection, timed together on a phone, so it says nothing of the
operators in it: it becomes an operator of its own, `mbconv`, that no network read by AutoMC has. Both programs call the
means milliseconds. ``expand`` is a ratio in ProxylessNAS; in once-for-all, where ``se`` and ``hs`` follow, the width.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, RootModel

from automc import files
from automc.errors import TableError
from automc.latency_tables.imported import QUARTILE, ImportedTable, microseconds, unknown_device
from automc.latency_tables.signature import Signature
from automc.latency_tables.table import Entry, Overhead

MOST_BYTES = 2**24
_SIZE = r"[1-9]\d{0,5}"
_KEY = re.compile(
    r"(?P<type>Conv|Conv_1|Conv_2|AvgPool2D|Logits|expanded_conv)"
    rf"-input:(?P<input>{_SIZE}x{_SIZE}x{_SIZE})-output:(?P<output>(?:{_SIZE}x{_SIZE}x)?{_SIZE})"
    r"(?P<rest>(?:-(?:expand|kernel|stride|idskip|se|hs):\d{1,6})*)"
)
_SQUARE = ("kernel", "stride")


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore")

    mean: FiniteFloat = Field(ge=0)
    var: FiniteFloat = Field(default=0.0, ge=0)
    count: int = Field(default=1, ge=1)


class _File(RootModel[dict[str, _Line]]):
    pass


def read_blocks(path: Path, unit: str = "ms") -> ImportedTable:
    """Returns the blocks of a file, each as an operator of a name of its own.

    Args:
        path: the YAML file.
        unit: of its means; see `microseconds`.

    Raises:
        TableError: the file is damaged, or has a key that is no block.
        ConfigError: there is no such unit.
    """
    factor = microseconds(unit)
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise TableError(f"{path}: {path.stat().st_size} bytes, more than any table of blocks has ({MOST_BYTES})")
    lines = files.read_yaml(path, _File, TableError).root
    if not lines:
        raise TableError(f"{path}: no entries")
    said = f"{path.name} (latencies of whole blocks, SHA-256 {files.digest(path)[:12]}, numbers taken as {unit})"
    return ImportedTable(
        device=unknown_device(path.stem),
        overhead=Overhead(0.0, 0.0),
        entries={block_signature(key, path): _entry(line, factor) for key, line in lines.items()},
        method="not measured by AutoMC; means of whole blocks, quartiles from their variance as if they were normal",
        imported=said,
    )


def block_signature(key: str, path: Path) -> Signature:
    """Returns the operator that a key stands for; raises TableError, naming the file, when it stands for none."""
    found = _KEY.fullmatch(key)
    if found is None:
        raise TableError(
            f"{path}: '{key[:80]}' is no block of ProxylessNAS or once-for-all, such as "
            "'expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:3-stride:2-idskip:0'"
        )
    (*size, inputs), (*out, outputs) = (tuple(map(int, found[side].split("x"))) for side in ("input", "output"))
    rest = {"n": (1,), "hw": tuple(size)} | ({"out": tuple(out)} if out else {})
    for item in filter(None, found["rest"].split("-")):
        name, value = item.split(":")
        rest[name[:1] if name in _SQUARE else name] = (int(value),) * (2 if name in _SQUARE else 1)
    op = "mbconv" if found["type"] == "expanded_conv" else f"mb.{found['type'].lower()}"
    return Signature.of(op, (inputs, outputs), **rest)


def _entry(line: _Line, factor: float) -> Entry:
    mean, off = line.mean * factor, QUARTILE * math.sqrt(line.var) * factor
    return Entry(round(mean, 3), round(max(mean - off, 0.0), 3), round(mean + off, 3), runs=line.count)
