"""Searches whose agent needs sensitivities: measured or read before the first evaluation, and the same when resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automc.campaigns import SearchResult, run_search
from automc.campaigns.config import SearchConfig
from automc.campaigns.sensing import COPY, sensitivities_of
from automc.campaigns.setup import read_subject
from automc.errors import ConfigError, SearchError
from automc.search_spaces import Policy, build_space
from automc.sensitivities import Effort, SensitivityFile, load_sensitivities, save_sensitivities
from tests.failing import Never
from tests.killing import configure, searched
from tests.needy import Needy
from tests.needy import builds as builds
from tests.needy import needy as needy

EVALUATIONS = 4
Builds = Callable[..., list[Policy]]


def config(agent: str, evaluations: int = EVALUATIONS, **more: Any) -> SearchConfig:
    return configure(evaluations, "Sometimes", agent=agent, **{"space": {"channel_multiple": 4}, **more})


@pytest.fixture
def own(tmp_path: Path) -> SensitivityFile:
    """A file of the searches' network, ``own.yaml``."""
    subject = read_subject(Never())
    asked = config("random")
    space = build_space(subject.graph, asked.space, 8, subject.device.precisions)
    effort = Effort(search_images=8, calibration_images=16, options=1)
    found = sensitivities_of(subject, space, "float32", effort=effort).found
    save_sensitivities(found, tmp_path / "own.yaml")
    return found


def told(result: SearchResult) -> None:
    """All that the agent was told is what the result has."""
    assert result.sensitivities is not None
    for harms in Needy.told:
        assert [tuple(one.tolist()) for one in harms] == [axis.harms for axis in result.sensitivities.found.axes]
    assert Needy.told


def test_a_search_measures_once_and_the_next_one_reads(tmp_path: Path, needy: str, builds: Builds) -> None:
    first = run_search(config(needy), tmp_path, tmp_path / "first")
    told(first)
    assert first.sensitivities is not None
    assert first.sensitivities.spent >= sum(axis.seconds for axis in first.sensitivities.found.axes) > 0
    page = (tmp_path / "first" / "report.html").read_text()
    assert "Which layers hurt?" in page
    assert "measured in" in page
    written = json.loads((tmp_path / "first" / "result.json").read_text())["sensitivities"]
    assert written["spent"] == first.sensitivities.spent
    built = builds()
    second = run_search(config(needy, budget="macs<=60%"), tmp_path, tmp_path / "second")
    assert second.sensitivities is not None
    assert len(set(built)) <= 2 * EVALUATIONS + 1  # policies, and none of sensitivities
    assert second.sensitivities.spent == 0
    assert second.sensitivities.found.axes == first.sensitivities.found.axes


def test_a_search_whose_agents_ask_for_none_has_none(tmp_path: Path, home: Path) -> None:
    result = run_search(config("random"), tmp_path, tmp_path / "out")
    assert result.sensitivities is None
    assert not (home / "sensitivities").exists()
    assert not (tmp_path / "out" / COPY).exists()
    assert "Which layers hurt?" not in (tmp_path / "out" / "report.html").read_text()


def test_a_resumed_search_has_the_same_whatever_became_of_the_users_own(
    tmp_path: Path, home: Path, needy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run_search(config(needy), tmp_path, tmp_path / "undisturbed")
    monkeypatch.setenv("FAILING_AT", "4:memory")
    with pytest.raises(SearchError, match="out of memory"):
        run_search(config(needy), tmp_path, tmp_path / "out")
    monkeypatch.delenv("FAILING_AT")
    (path,) = (home / "sensitivities").iterdir()
    there = load_sensitivities(path)  # somebody's own numbers in its place
    wrong = [axis.model_copy(update={"harms": (*[9.0] * (len(axis.harms) - 1), 0.0)}) for axis in there.axes]
    save_sensitivities(there.model_copy(update={"axes": tuple(wrong)}), path)
    resumed = run_search(config(needy), tmp_path, tmp_path / "out", resume=True)
    told(resumed)
    assert searched(resumed) == searched(undisturbed)
    assert resumed.sensitivities is not None
    assert undisturbed.sensitivities is not None
    assert resumed.sensitivities.found.axes == undisturbed.sensitivities.found.axes
    # a search that is begun anew in the same folder asks for them anew
    Needy.told.clear()
    told(anew := run_search(config(needy), tmp_path, tmp_path / "out"))
    assert anew.sensitivities is not None
    assert anew.sensitivities.found.axes == tuple(wrong)
    shutil.rmtree(home / "sensitivities")


def test_a_named_file_is_used_as_it_is(tmp_path: Path, home: Path, needy: str, own: SensitivityFile) -> None:
    shutil.rmtree(home / "sensitivities")
    result = run_search(config(needy, sensitivities="own.yaml"), tmp_path, tmp_path / "out")
    told(result)
    assert result.sensitivities is not None
    assert result.sensitivities.found.axes == own.axes
    assert result.sensitivities.spent == 0
    assert not (home / "sensitivities").exists()


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({"model": "0" * 64}, {}, "are of another model .digest 000000000000, here .*; measure them anew: automc sens"),
        ({"device": "phone"}, {}, "are of another device .phone, which runs 8/8 32/32 bits; here cpu"),
        ({"precisions": ((4, 4), (8, 8))}, {}, "are of another device .cpu, which runs 4/4 8/8 bits; here cpu"),
        ({}, {"methods": {"recovery": []}}, r"are of other methods \(recovery is \('least_squares',\), here \(\)\)"),
        ({}, {"space": {"channel_multiple": 2}}, r"lack option \d of convs.\d.channels, which the space has"),
        (None, {}, "sensitivities: no file .*own.yaml; write one: automc sensitivity SUBJECT --save FILE"),
    ],
)
def test_those_of_another_are_refused_before_anything_is_evaluated(
    tmp_path: Path,
    needy: str,
    own: SensitivityFile,
    builds: Builds,
    change: dict[str, Any] | None,
    more: dict[str, Any],
    message: str,
) -> None:
    if change is None:
        (tmp_path / "own.yaml").unlink()
    else:
        about = own.about.model_copy(update=change)
        save_sensitivities(own.model_copy(update={"about": about}), tmp_path / "own.yaml")
    built = builds()
    with pytest.raises(ConfigError, match=message) as refused:
        run_search(config(needy, sensitivities="own.yaml", **more), tmp_path, tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert built == []
    assert list((tmp_path / "out").iterdir()) == []


def test_what_measuring_took_counts_for_the_limit_of_worker_hours(
    tmp_path: Path, needy: str, own: SensitivityFile
) -> None:
    limits = {"worker_hours": 1e-9}
    with pytest.raises(SearchError, match="evaluations and sensitivities took 1e-09 hours before needy had one"):
        run_search(config(needy, limits=limits), tmp_path, tmp_path / "out")
    named = run_search(config(needy, limits=limits, sensitivities="own.yaml"), tmp_path, tmp_path / "named")
    assert named.evaluations  # it was measured for another


def test_an_interrupted_measurement_goes_on_with_the_search(tmp_path: Path, needy: str, builds: Builds) -> None:
    undisturbed = run_search(config(needy, 1), tmp_path, tmp_path / "undisturbed")
    assert undisturbed.sensitivities is not None
    path = Path(undisturbed.sensitivities.path)
    found = load_sensitivities(path)
    assert found.spent == undisturbed.sensitivities.spent
    total = sum(sum(axis.measured) - 1 for axis in found.axes)
    (kept,) = (Path(path.parents[1]) / "home" / "sensitivities").iterdir()
    kept.unlink()
    builds(stop=6)
    with pytest.raises(KeyboardInterrupt):
        run_search(config(needy, 1), tmp_path, tmp_path / "out")
    there = load_sensitivities(kept)
    assert 0 < len(there.axes) < len(found.axes)
    built = builds()
    resumed = run_search(config(needy, 1), tmp_path, tmp_path / "out", resume=True)
    assert len(built) < total + 6  # those of axes that were there are not built again
    told(resumed)
    assert resumed.sensitivities is not None
    assert [axis.harms for axis in resumed.sensitivities.found.axes] == [axis.harms for axis in found.axes]
    assert np.isclose(resumed.sensitivities.found.axes[0].seconds, there.axes[0].seconds)
