"""The user's own sensitivities: measured once, kept axis by axis, and used wherever the same is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from automc import files
from automc.errors import ConfigError
from automc.evaluation import Evaluator
from automc.search_spaces import SearchSpace
from automc.sensitivities.file import (
    About,
    AxisHarms,
    SensitivityFile,
    load_sensitivities,
    save_sensitivities,
)
from automc.sensitivities.measure import measure


@dataclass(frozen=True)
class Stored:
    """Sensitivities, and where they are from.

    Attributes:
        found: the sensitivities of one space, its axes in its order.
        path: where they lie.
        spent: seconds that were measured for now; 0 where all was there.
    """

    found: SensitivityFile
    path: Path
    spent: float = 0.0


def store_path(about: About) -> Path:
    """Returns where the user's own sensitivities lie that depend on this."""
    return files.home() / "sensitivities" / f"{about.key}.yaml"


def ensure_sensitivities(
    about: About, space: SearchSpace, evaluator: Callable[[], Evaluator], anew: bool = False
) -> Stored:
    """Returns the sensitivities of a space; what of them is not in the user's own is measured and added.

    An axis with other options is another axis, since which of them are measured depends on all: so numbers are the same
    whatever was measured before. Each is written when it is there: who stops it loses one axis.

    Args:
        about: what they depend on.
        space: whose axes.
        evaluator: makes what builds and runs networks; not called where nothing has to be measured.
        anew: measure all of them, even those that are there.

    Raises:
        ConfigError: the file is damaged; it is left as it is.
    """
    path = store_path(about)
    found = _read(path, about)
    if anew:
        others = tuple(one for one in found.axes if not any(one.is_of(axis) for axis in space.axes))
        found = found.model_copy(update={"axes": others})
    known = {number: one for number, axis in enumerate(space.axes) for one in found.axes if one.is_of(axis)}
    if len(known) == len(space.axes):
        return Stored(_of_space(found, known), path)
    files.ensure_writable(path.parent)
    start = last = time.perf_counter()

    def keep(number: int, harms: np.ndarray, measured: np.ndarray) -> None:
        nonlocal last, found
        now = time.perf_counter()
        known[number] = AxisHarms.of(space.axes[number], harms, measured, now - last)
        last = now
        created_at = datetime.now(UTC).isoformat(timespec="seconds")
        found = found.model_copy(update={"axes": (*found.axes, known[number]), "created_at": created_at})
        save_sensitivities(found, path)

    before = {number: (np.array(one.harms), np.array(one.measured)) for number, one in known.items()}
    measure(evaluator(), space, about.effort.options, before, keep)
    return Stored(_of_space(found, known), path, round(time.perf_counter() - start, 3))


def _of_space(found: SensitivityFile, known: dict[int, AxisHarms]) -> SensitivityFile:
    return found.model_copy(update={"axes": tuple(known[number] for number in sorted(known))})


def _read(path: Path, about: About) -> SensitivityFile:
    if not path.exists():
        return SensitivityFile(about=about, created_at="", axes=())
    try:
        found = load_sensitivities(path)
        if found.about != about:
            raise ConfigError(f"{path}: is not what its name says")
    except ConfigError as error:
        raise ConfigError(f"{error}. It is AutoMC's own: delete it and it will be measured anew") from None
    return found
