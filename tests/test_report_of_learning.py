"""The report shows an agent at work: what it learned, where it tells, and what it chose."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automc.campaigns.reports.learning import choices, figures, rewards, running_mean, short
from automc.campaigns.reports.page import render_html
from automc.campaigns.result import Learned, SearchResult
from automc.search_spaces import Choice, Policy
from tests.results import make_result, with_int8


def taught(result: SearchResult, warmup: int = 6) -> SearchResult:
    """The same by an agent that tells its reward, and its noise after a warm-up; one evaluation failed."""
    lessons = []
    for done in (done for done in result.evaluations if done.agent == result.agent):
        if done.number == 9:
            done.score, done.error = None, "no"
            continue
        told = {"noise": 0.5 * 0.7**done.number, "critic_loss": 0.1 / (1 + done.number)}
        reward = done.value - 1
        lessons.append(Learned(number=done.number, reward=reward, figures=told if done.number >= warmup else {}))
    return result.model_copy(update={"lessons": lessons})


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return taught(make_result(evaluations=30))


def array(values: Any) -> np.ndarray:
    return np.array(values, dtype=float)


def test_the_reward_of_every_evaluation_is_shown_with_its_running_mean(result: SearchResult) -> None:
    points, line = rewards(result).data
    assert list(points.x) == list(line.x) == [number + 1 for number in range(30) if number != 9]
    assert list(points.y) == [lesson.reward for lesson in result.lessons]
    assert line.y[-1] == pytest.approx(np.mean([lesson.reward for lesson in result.lessons[-5:]]))


def test_a_running_mean_is_of_what_was_there() -> None:
    values = np.random.default_rng(0).standard_normal(40)
    expected = [values[max(0, end - 7) : end].mean() for end in range(1, 41)]
    np.testing.assert_allclose(running_mean(values, 7), expected)


def test_figures_begin_where_they_are_told_each_on_its_own_axis(result: SearchResult) -> None:
    shown = figures(result)
    assert list(shown) == ["critic loss", "noise"]
    for figure in shown.values():
        assert list(figure.data[0].x) == [number + 1 for number in range(6, 30) if number != 9]
    assert shown["noise"].layout.yaxis.type == "log"  # over three orders of magnitude
    assert shown["critic loss"].layout.yaxis.type is None


def test_choices_are_shares_of_each_unit_for_each_evaluation(result: SearchResult) -> None:
    (figure,) = choices(result).values()
    shown = figure.data[0]
    units = {unit.name: unit for unit in result.units}
    own = [done for done in result.evaluations if done.agent == result.agent]
    assert list(shown.y) == [unit.name for unit in result.units if not unit.frozen]  # the network's order
    assert list(shown.x) == [done.number + 1 for done in own]  # one that failed was chosen too
    gone = 0
    for name, line in zip(shown.y, array(shown.z), strict=True):
        for done, value in zip(own, line, strict=True):
            choice, block = done.policy.get(name, Choice()), units[name].block
            if block is not None and done.policy[block].keep is False:
                gone += 1
                assert np.isnan(value)
            elif choice.keep is not None:
                assert value == choice.keep
            elif choice.channels is not None:
                assert value == pytest.approx(choice.channels / units[name].full)
    assert gone


@pytest.mark.parametrize("apart", [False, True])
def test_bits_have_maps_of_their_own(apart: bool) -> None:
    result = with_int8(make_result(evaluations=8))
    for done in result.evaluations:
        bits, able = (4, 8, 32)[done.number % 3], [unit.name for unit in result.units if unit.int8]
        chosen = {
            name: replace(done.policy.get(name, Choice()), weight_bits=bits, activation_bits=8 if apart else bits)
            for name in able
        }
        done.policy = Policy({**done.policy, **chosen})
    maps = choices(result)
    assert list(maps)[1:] == (["bits of weights", "bits of activations"] if apart else ["bits"])
    shown = list(maps.values())[1]
    asked = array([[4, 8, 32][number % 3] for number in range(8)])
    for line in array(shown.data[0].customdata):
        np.testing.assert_array_equal(line[np.isfinite(line)], asked[np.isfinite(line)])
    assert list(shown.data[0].colorbar.ticktext) == ["4", "8", "float"]
    assert array(shown.data[0].z)[np.isfinite(array(shown.data[0].z))].max() == shown.data[0].zmax


def test_long_names_lose_their_beginnings() -> None:
    assert short(["net.stage.0.conv", "net.stage.0.linear"]) == ["conv", "linear"]
    assert short(["net.convs.0", "net.convs.1"]) == ["convs.0", "convs.1"]
    assert short(["conv", "net.conv"]) == ["conv", "net.conv"]
    assert short(["a.c", "b.layer.attention.output.dense"]) == ["a.c", "…tion.output.dense"]


def test_the_page_has_a_section_only_where_something_was_learned(result: SearchResult) -> None:
    page = render_html(result)
    assert "How the agent learned" in page
    assert len(re.findall(r"<figcaption>(noise|critic loss|channels and blocks kept)</figcaption>", page)) == 3
    without = render_html(result.model_copy(update={"lessons": []}))
    assert "How the agent learned" not in without
    assert "What tpe chose for each layer" in without
    single = [done for done in result.evaluations if done.agent != "tpe" or done.number < 1]
    assert "chose for each layer" not in render_html(result.model_copy(update={"evaluations": single, "lessons": []}))


def test_a_result_file_keeps_what_was_learned(result: SearchResult) -> None:
    assert SearchResult.model_validate_json(result.model_dump_json()).lessons == result.lessons
