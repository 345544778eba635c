"""Which layers hurt: measured once and kept axis by axis, read again to the bit, refused where they are of another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from automc.campaigns import Subject, read_subject
from automc.campaigns.hurting import hurting
from automc.campaigns.reports import render_sensitivities
from automc.campaigns.reports.hurting import heat
from automc.campaigns.sensing import sensitivities_of
from automc.compression import Methods
from automc.costs import CostModel
from automc.errors import ConfigError
from automc.search_spaces import Policy, SearchSpace, SpaceConfig, build_space
from automc.sensitivities import (
    Effort,
    SensitivityFile,
    Stored,
    load_sensitivities,
    save_sensitivities,
    store_path,
)
from automc.tasks import Task
from automc.testing import toy_sensitivities
from tests.commands import Done, run_command
from tests.failing import Never
from tests.needy import builds as builds

SMALL = Effort(search_images=16, calibration_images=32, options=2)
Builds = Callable[..., list[Policy]]


@pytest.fixture(scope="module")
def subject() -> Subject:
    return read_subject(Never())


def space_of(subject: Subject, multiple: int = 4) -> SearchSpace:
    return build_space(subject.graph, SpaceConfig(channel_multiple=multiple, bits=(8,)), 8, subject.device.precisions)


def measured(subject: Subject, space: SearchSpace, anew: bool = False) -> Stored:
    return sensitivities_of(subject, space, "float32", effort=SMALL, anew=anew)


def test_what_was_measured_is_not_measured_again(subject: Subject, builds: Builds) -> None:
    space, built = space_of(subject), builds()
    first = measured(subject, space)
    assert len(set(built)) == len(built) == sum(sum(axis.measured) - 1 for axis in first.found.axes)
    assert first.spent > 0
    built.clear()
    again = measured(subject, space)
    assert built == []
    assert (again.found, again.path, again.spent) == (first.found, first.path, 0.0)
    anew = measured(subject, space, anew=True)
    assert built
    assert [axis.harms for axis in anew.found.axes] == [axis.harms for axis in first.found.axes]
    assert len(load_sensitivities(first.path).axes) == len(space.axes)


def test_an_axis_with_other_options_is_another_axis(subject: Subject, builds: Builds) -> None:
    coarse, fine = space_of(subject, 4), space_of(subject, 2)
    first, built = measured(subject, coarse), builds()
    found = measured(subject, fine).found.for_space(fine, Path())
    assert built
    assert all(choice.weight_bits in (None, 32) for policy in built for choice in policy.values())  # bits are the same
    built.clear()
    assert measured(subject, coarse).found.axes == first.found.axes
    assert built == []
    shutil.rmtree(first.path.parent)  # numbers do not depend on what was measured before
    fresh = measured(subject, fine).found.for_space(fine, Path())
    for ours, theirs in zip(found.harms, fresh.harms, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_who_interrupts_it_loses_one_axis_at_most(subject: Subject, builds: Builds) -> None:
    space = space_of(subject)
    whole = measured(subject, space)
    total = sum(sum(axis.measured) - 1 for axis in whole.found.axes)
    shutil.rmtree(whole.path.parent)
    builds(stop=5)
    with pytest.raises(KeyboardInterrupt):
        measured(subject, space)
    kept = load_sensitivities(whole.path)
    there = sum(sum(axis.measured) - 1 for axis in kept.axes)
    assert 0 < there <= 5
    built = builds()
    resumed = measured(subject, space)
    assert len(built) == total - there
    assert [axis.harms for axis in resumed.found.axes] == [axis.harms for axis in whole.found.axes]
    assert resumed.found.seconds > resumed.spent - 1e-2  # what the first session took is among it


def test_other_images_methods_or_efforts_are_measured_by_themselves(subject: Subject, builds: Builds) -> None:
    space, built = space_of(subject), builds()
    paths = {measured(subject, space).path}
    for effort, methods, seed in (
        (SMALL.model_copy(update={"search_images": 8}), Methods(), 0),
        (SMALL, Methods(recovery=()), 0),
        (SMALL, Methods(), 1),
    ):
        built.clear()
        paths.add(sensitivities_of(subject, space, "float32", methods, effort, seed).path)
        assert built
    assert len(paths) == 4


def test_a_damaged_file_of_the_users_own_is_refused_and_left(subject: Subject) -> None:
    stored = measured(subject, space := space_of(subject))
    stored.path.write_text("version: 1\naxes: [")
    with pytest.raises(ConfigError, match=r"not valid YAML.*delete it and it will be measured anew") as refused:
        measured(subject, space)
    assert "\n" not in str(refused.value)
    assert stored.path.read_text().endswith("[")


def made_up(stored: Stored, space: SearchSpace, seed: int) -> SensitivityFile:
    """A file of hard numbers to write."""
    harms = [10.0 ** (-8 * k) * h for k, h in enumerate(toy_sensitivities(space, seed).harms)]
    axes = tuple(
        axis.model_copy(update={"harms": tuple(harm.tolist())})
        for axis, harm in zip(stored.found.axes, harms, strict=True)
    )
    return stored.found.model_copy(update={"axes": axes})


def test_a_file_is_read_as_it_was_written_to_the_bit_as_yaml_and_as_json(subject: Subject, tmp_path: Path) -> None:
    space = space_of(subject)
    found = made_up(measured(subject, space), space, seed=3)
    save_sensitivities(found, tmp_path / "own.yaml")
    (tmp_path / "own.json").write_text(found.model_dump_json())
    for name in ("own.yaml", "own.json"):
        assert load_sensitivities(tmp_path / name) == found
    there = load_sensitivities(tmp_path / "own.yaml").for_space(space, tmp_path)
    for ours, axis in zip(there.harms, found.axes, strict=True):
        assert tuple(ours.tolist()) == axis.harms


def test_a_file_serves_a_smaller_space_and_says_what_it_lacks_for_a_larger_one(subject: Subject) -> None:
    fine, coarse = space_of(subject, 2), space_of(subject, 4)
    found = measured(subject, fine).found
    whole, part = found.for_space(fine, Path("f")), found.for_space(coarse, Path("f"))
    for axis, harms in zip(coarse.axes, part.harms, strict=True):
        number = next(n for n, other in enumerate(fine.axes) if other.name == axis.name)
        places = [fine.axes[number].options.index(option) for option in axis.options]
        np.testing.assert_array_equal(harms, whole.harms[number][places])
    lacking = measured(subject, coarse).found
    with pytest.raises(ConfigError, match=r"in own.yaml lack option \d of convs.\d.channels, which the space has"):
        lacking.for_space(fine, Path("own.yaml"))
    without = lacking.model_copy(update={"axes": lacking.axes[1:]})
    with pytest.raises(ConfigError, match=f"lack {coarse.axes[0].name}, which the space has"):
        without.for_space(coarse, Path("own.yaml"))


def test_the_page_loads_nothing_and_escapes_names(subject: Subject) -> None:
    space = space_of(subject)
    stored = measured(subject, space)
    hurts = hurting(subject, CostModel(subject.graph, space), stored.found.axes)
    page = render_sensitivities("<b>mine</b>", stored, hurts, subject.units(), subject.device)
    assert page.count("plotly.js v") == 1
    assert "default-src 'none'" in page
    assert "<b>mine</b>" not in page
    assert not [words for words in ("src=", "href=", "@import", "url(") if words in page.partition("<body>")[0]]
    assert all(f'<th scope="row">{axis.unit}</th>' in page for axis in space.axes)


def test_the_picture_has_each_units_harm_where_it_belongs(subject: Subject) -> None:
    space = space_of(subject, 2)
    found = measured(subject, space).found
    drawn = heat(found.axes, subject.units()).data[0]
    names, columns = list(drawn.y), list(drawn.x)
    assert columns == ["int8", "⅛", "¼", "⅜", "½", "⅝", "¾", "⅞"]  # 16 channels in steps of 2
    for axis in found.axes:
        if axis.field == "channels":
            assert np.isfinite(drawn.z[names.index(axis.unit)][1:]).all()
            half = axis.options.index(8)
            told = drawn.text[names.index(axis.unit)][columns.index("½")]
            assert told.startswith(f"{axis.unit}: 8 of 16 channels<br>harm {axis.harms[half]:.3g}, ")


@pytest.fixture
def run(
    tmp_path: Path, digits: Task, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "d.yaml").write_text("task: digits\nbudget: macs<=50%\nspace: {width: false, bits: [8]}\n")
    small = ("--search-images", "32", "--calibration-images", "64", "--options", "1")
    return lambda *more: run_command(("sensitivity", "d.yaml", *small, *more), monkeypatch, capsys)


def test_the_command_ranks_units_shows_them_and_can_be_interrupted(
    run: Callable[..., Done], builds: Builds, tmp_path: Path, home: Path
) -> None:
    builds(stop=3)
    stopped = run()
    assert stopped.code == 130
    assert "What was measured is kept" in stopped.errors
    built = builds()
    done = run("--json", "--out", "out.html", "--save", "own.yaml")
    assert done.code == 0, done.errors
    data = json.loads(done.output)
    units = data["units"]
    assert len(built) == len(units) - 3
    assert [one["middling"]["harm"] for one in units] == sorted((o["middling"]["harm"] for o in units), reverse=True)
    assert {one["unit"] for one in units if one["field"] == "keep"} == {"layer1.0", "layer1.1", "layer2.1", "layer3.1"}
    for one in units:
        dropped = one["field"] == "keep"
        assert one["middling"]["option"] == (False if dropped else [8, 8])
        assert one["saved"]["metric"] == ("macs" if dropped else "size")
        assert one["saved"]["share"] > 0
        assert one["harm_per_percent"] == pytest.approx(one["middling"]["harm"] / 100 / one["saved"]["share"], rel=0.01)
    block = next(one for one in units if one["unit"] == "layer1.0" and one["field"] == "keep")
    assert block["saved"]["share"] == pytest.approx(block["macs_share"], abs=1e-3)  # its shortcut has none
    assert "Which layers hurt?".lower() in (tmp_path / "out.html").read_text().lower()
    found = load_sensitivities(tmp_path / "own.yaml")
    assert found == load_sensitivities(store_path(found.about)) == load_sensitivities(Path(data["path"]))
    assert Path(data["path"]).parent == home / "sensitivities"
    built.clear()
    shown = run()
    assert built == []
    lines = [line for line in shown.output.splitlines() if line.startswith("│")]
    assert [line.split()[1] for line in lines] == [one["unit"] for one in units]
    assert "there already" in shown.output


def test_a_wrong_effort_is_refused_in_one_line(run: Callable[..., Done], builds: Builds) -> None:
    built = builds()
    done = run("--search-images", "0")
    assert (done.code, done.output, built) == (2, "", [])
    assert "search_images: Input should be greater than or equal to 1" in done.line
