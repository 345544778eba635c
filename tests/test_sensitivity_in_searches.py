"""Searches whose agent needs sensitivities: measured or read before the first evaluation, and the same when resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from automc.campaigns import run_search, set_up
from automc.campaigns.campaign import Campaign
from automc.campaigns.config import SearchConfig
from automc.campaigns.journal import FILE
from automc.campaigns.search import Search
from automc.campaigns.sensing import COPY, sensitivities_of
from automc.campaigns.setup import read_subject
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.studies import names
from automc.campaigns.workers import LocalWorkers
from automc.errors import ConfigError, SearchError
from automc.search_spaces import Policy, build_space
from automc.sensitivities import AxisHarms, Effort, SensitivityFile, load_sensitivities, save_sensitivities
from tests.failing import Never
from tests.killing import configure
from tests.needy import Needy
from tests.needy import builds as builds
from tests.needy import needy as needy

EVALUATIONS = 4
DEVICE = {"target": "bismo-cloud"}  # on paper: nothing else has to be measured
Builds = Callable[..., list[Policy]]


def config(agent: str, evaluations: int = EVALUATIONS, **more: Any) -> SearchConfig:
    space = {"channel_multiple": 4}
    return configure(evaluations, "Never", agent=agent, **{"space": space, "device": DEVICE, **more})


@pytest.fixture
def own(tmp_path: Path) -> SensitivityFile:
    """A file of the searches' network, ``own.yaml``."""
    asked = config("random")
    subject = read_subject(Never(), asked.device.open())
    space = build_space(subject.graph, asked.space, 8, subject.device.precisions)
    effort = Effort(search_images=8, calibration_images=16, options=1)
    found = sensitivities_of(subject, space, "float32", effort=effort).found
    save_sensitivities(found, tmp_path / "own.yaml")
    return found


def search(asked: SearchConfig, out: Path, resume: bool = True) -> Search:
    """The evaluations of a search, without what comes after them."""
    out.mkdir(exist_ok=True)
    setup, storage = set_up(asked, out.parent), Storage(sqlite_url(out / FILE))
    try:
        there = "one" in names(storage)
        campaign = Campaign(storage, "one") if there else Campaign.create(storage, "one", asked, out.parent, out)
        ahead = campaign.begin(asked.deciding(), resume, asked.evaluations, 1)
        found = Search(asked, setup, campaign.journal, out, campaign.digest, ahead)
        found.run(LocalWorkers(found.evaluator))
        campaign.end("finished")
    finally:
        storage.close()
    return found


def axes_of(done: Search) -> tuple[AxisHarms, ...]:
    """What the agent was told, all that it was told."""
    assert done.sensitivities is not None
    axes = done.sensitivities.found.axes
    for harms in Needy.told:
        assert [tuple(one.tolist()) for one in harms] == [axis.harms for axis in axes]
    assert Needy.told
    return axes


def proposed(done: Search) -> list[tuple[str, int, Policy, float | None]]:
    return [(one.agent, one.number, one.policy, one.score) for one in done.evaluations]


def test_a_search_measures_once_and_the_next_one_reads(tmp_path: Path, needy: str, builds: Builds) -> None:
    first = run_search(config(needy, 2), tmp_path, tmp_path / "first").sensitivities
    assert first is not None
    assert first.spent >= sum(axis.seconds for axis in first.found.axes) > 0
    page = (tmp_path / "first" / "report.html").read_text()
    assert "Which layers hurt?" in page
    assert "measured in" in page
    written = json.loads((tmp_path / "first" / "result.json").read_text())["sensitivities"]
    assert written["spent"] == first.spent == load_sensitivities(tmp_path / "first" / COPY).spent
    built = builds()
    second = search(config(needy, budget="macs<=60%"), tmp_path / "second")
    assert len(built) <= len(second.evaluations)  # policies, and none of sensitivities
    assert axes_of(second) == first.found.axes
    assert second.sensitivities is not None
    assert second.sensitivities.spent == 0


def test_a_search_whose_agents_ask_for_none_has_none(tmp_path: Path, home: Path) -> None:
    assert search(config("random"), tmp_path / "out").sensitivities is None
    assert not (home / "sensitivities").exists()
    assert not (tmp_path / "out" / COPY).exists()


def test_a_resumed_search_has_the_same_whatever_became_of_the_users_own(
    tmp_path: Path, home: Path, needy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = search(config(needy), tmp_path / "undisturbed")
    monkeypatch.setenv("FAILING_AT", "6:memory")
    with pytest.raises(MemoryError):
        search(config(needy), tmp_path / "out")
    monkeypatch.delenv("FAILING_AT")
    (path,) = (home / "sensitivities").iterdir()
    there = load_sensitivities(path)  # somebody's own numbers in its place
    wrong = [axis.model_copy(update={"harms": (*[9.0] * (len(axis.harms) - 1), 0.0)}) for axis in there.axes]
    save_sensitivities(there.model_copy(update={"axes": tuple(wrong)}), path)
    resumed = search(config(needy), tmp_path / "out")
    assert axes_of(resumed) == axes_of(undisturbed)
    assert proposed(resumed) == proposed(undisturbed)
    Needy.told.clear()
    anew = search(config(needy), tmp_path / "out", resume=False)  # in the same folder, from its beginning
    assert axes_of(anew) == tuple(wrong)


def test_a_named_file_is_used_as_it_is(tmp_path: Path, home: Path, needy: str, own: SensitivityFile) -> None:
    shutil.rmtree(home / "sensitivities")
    done = search(config(needy, sensitivities="own.yaml"), tmp_path / "out")
    assert axes_of(done) == own.axes
    assert done.sensitivities is not None
    assert done.sensitivities.spent == 0
    assert not (home / "sensitivities").exists()


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({"model": "0" * 64}, {}, "are of another model .digest 000000000000, here .*; measure them anew: automc sens"),
        ({"device": "phone"}, {}, r"are of another device \(phone, here bismo-cloud\)"),
        (
            {"precisions": ((4, 4), (8, 8))},
            {},
            r"are of another device \(a bismo-cloud that runs other bits: 4/4 8/8",
        ),
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
    with pytest.raises(SearchError, match="evaluations and sensitivities took 1e-09 hours before needy had one"):
        search(config(needy, limits={"worker_hours": 1e-9}), tmp_path / "out")
    hours = [axis.model_copy(update={"seconds": 3600.0}) for axis in own.axes]
    save_sensitivities(own.model_copy(update={"axes": tuple(hours)}), tmp_path / "own.yaml")
    named = search(config(needy, limits={"worker_hours": 1.0}, sensitivities="own.yaml"), tmp_path / "named")
    assert len([done for done in named.evaluations if done.agent == needy]) == EVALUATIONS  # not its own hours
    assert axes_of(named) == tuple(hours)


def test_an_interrupted_measurement_goes_on_with_the_search(
    tmp_path: Path, home: Path, needy: str, builds: Builds
) -> None:
    whole = axes_of(search(config(needy, 1), tmp_path / "undisturbed"))
    (kept,) = (home / "sensitivities").iterdir()
    kept.unlink()
    builds(stop=2)
    with pytest.raises(KeyboardInterrupt):
        search(config(needy, 1), tmp_path / "out")
    there = load_sensitivities(kept).axes
    assert 0 < len(there) < len(whole)
    built = builds()
    resumed = search(config(needy, 1), tmp_path / "out")
    missing = sum(sum(axis.measured) - 1 for axis in whole[len(there) :])
    assert len(built) <= missing + len(resumed.evaluations)
    assert [axis.harms for axis in axes_of(resumed)] == [axis.harms for axis in whole]
    assert axes_of(resumed)[: len(there)] == there
