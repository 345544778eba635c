"""Energy is read from files such as the kernel's; here from made-up ones: what is real of it is only their form."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from automc.campaigns.reports.table import comparison
from automc.devices import LocalBench, Timing, time_models
from tests.results import make_result
from tests.test_measuring import write_model

RANGE = 2**32
WATTS = 20.0


def package(folder: Path, name: str, of: str = "package-0", start: int = 0) -> Path:
    """Writes one domain of a powercap folder and returns its counter."""
    (folder / name).mkdir(parents=True)
    (folder / name / "name").write_text(f"{of}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (folder / name / "energy_uj").write_text(f"{start}\n")
    return folder / name / "energy_uj"


@contextmanager
def spending(*counters: Path, watts: float = WATTS) -> Iterator[None]:
    """Lets counters rise with time, as a processor's that uses so much power."""
    stop, began = threading.Event(), time.perf_counter()

    def run() -> None:
        while not stop.is_set():
            spent = int(watts * 1e6 * (time.perf_counter() - began))
            for counter in counters:
                new = counter.with_suffix(".new")
                new.write_text(f"{spent % (RANGE + 1)}\n")
                new.replace(counter)
            time.sleep(0.001)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def timed(tmp_path: Path, powercap: Path) -> list[Timing]:
    paths = [write_model(tmp_path / "small.onnx", 64), write_model(tmp_path / "large.onnx", 256, layers=64)]
    feeds = [{"t0": np.zeros((1, width), np.float32)} for width in (64, 256)]
    return time_models(LocalBench(), paths, feeds, runs=3, passes=3, powercap=str(powercap))


def test_energy_is_power_times_time_summed_over_packages(tmp_path: Path) -> None:
    folder = tmp_path / "powercap"
    counters = [package(folder, "intel-rapl:0"), package(folder, "intel-rapl:1", "package-1")]
    core = package(folder, "intel-rapl:0:0", "core", start=5)  # part of its package: not counted twice
    psys = package(folder, "intel-rapl:2", "psys", start=5)  # all of the machine
    with spending(*counters):
        small, large = timed(tmp_path, folder)
    assert (core.read_text(), psys.read_text()) == ("5\n", "5\n")
    assert small.energy_uj is not None
    assert large.energy_uj is not None
    assert 0 < small.energy_uj < large.energy_uj
    # two packages at 20 W; a busy machine may spend time between inferences, never less than in them
    assert large.energy_uj > 0.5 * 2 * WATTS * large.low


def test_a_counter_that_is_behind_where_it_was_has_started_anew(tmp_path: Path) -> None:
    with spending(package(tmp_path / "powercap", "intel-rapl:0"), watts=-WATTS):  # behind at every reading
        for timing in timed(tmp_path, tmp_path / "powercap"):
            assert timing.energy_uj is not None
            assert timing.energy_uj > 0


@pytest.mark.parametrize("broken", ["no folder", "no domain", "no number", "no range"])
def test_where_energy_cannot_be_read_nothing_is_said(tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "powercap"
    if broken != "no folder":
        counter = package(folder, "intel-rapl:0", "core" if broken == "no domain" else "package-0")
        if broken == "no number":
            counter.write_text("")
        if broken == "no range":
            (counter.parent / "max_energy_range_uj").unlink()
    for timing in timed(tmp_path, folder):
        assert timing.energy_uj is None
        assert timing.us > 0


def test_the_comparison_has_energy_only_where_it_was_measured() -> None:
    result = make_result()
    assert not [column for column in comparison(result) if "energy" in column.title]
    rows = [
        row.model_copy(update={"measured": Timing(**(vars(row.measured) | {"energy_uj": 1000.0 * row.measured.ratio}))})
        for row in result.rows
    ]
    (column,) = [c for c in comparison(result.model_copy(update={"rows": rows})) if "energy" in c.title]
    assert column.unit == "mJ"
    assert (column.cells[0].value, column.cells[0].share) == ("1.00", "")
    assert column.cells[-1].share == f"{100 * rows[-1].measured.ratio:.1f}%"
