"""What a campaign's policies decide about, noted as it begins, for pictures of them while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from automc import files
from automc.campaigns.evaluated import Unit

FILE = "units.json"
"""In the folder that a campaign writes to; whatever else is kept of it is read far more often than this."""

_UNITS = TypeAdapter(list[Unit])


def write_units(out: Path, units: Sequence[Unit]) -> None:
    """Writes the units of a campaign's network into its folder; raises ConfigError where that cannot be done."""
    files.write_text(out / FILE, _UNITS.dump_json(list(units)).decode())


def read_units(out: Path) -> list[Unit]:
    """Returns the units of a campaign's network, in its order; none where there is no such file, or a damaged one."""
    try:
        return _UNITS.validate_json((out / FILE).read_bytes())
    except (OSError, ValidationError):
        return []
