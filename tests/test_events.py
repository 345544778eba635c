"""TensorBoard is shown every evaluation once, whatever happens in between."""

import struct
from pathlib import Path

import pytest
from tensorboardX.record_writer import masked_crc32c

from automc.agents import Problem
from automc.campaigns.checkpoints import Memory
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.events import EventLog, read_events
from automc.testing import toy_problem
from tests.learners import Drifter, go_on

EVALUATIONS = 12


@pytest.fixture(scope="module")
def problem() -> Problem:
    return toy_problem("macs<=40%")


@pytest.fixture
def memory(problem: Problem, tmp_path: Path) -> Memory:
    return Memory(lambda: Drifter(problem, 0), "drifter", tmp_path, "this", [])


def events(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return sorted((event for path in folder.glob("*") for event in read_events(path)), key=lambda event: event[0])


def write(folder: Path, memory: Memory, before: list[Evaluated], new: list[Evaluated], search: str = "this") -> None:
    with EventLog(folder, search, memory.agent.problem, before, memory.lessons) as log:
        for done in new:
            log.write(done)


def test_an_event_says_what_was_tried_and_what_was_learned(memory: Memory, tmp_path: Path) -> None:
    done = go_on(memory, EVALUATIONS)
    write(tmp_path / "log", memory, [], done)
    found = events(tmp_path / "log")
    assert [step for step, _ in found] == list(range(EVALUATIONS))
    best = 0.0
    for (_, scalars), one in zip(found, done, strict=True):
        best = max(best, one.score or 0.0)
        assert scalars["best"] == pytest.approx(best)
        assert scalars["predicted/latency"] == one.predicted.latency
        assert ("score" in scalars) == ("learning/reward" in scalars) == (one.score is not None)
        if one.score is not None:
            lesson = memory.lessons[one.number]
            assert scalars["score"] == pytest.approx(one.score)
            assert scalars["learning/reward"] == pytest.approx(2 * one.score)
            assert scalars["learning/step"] == pytest.approx(lesson.figures["step"])
        dropped = {unit for unit, choice in one.policy.items() if choice.keep is False}
        left = {tag for tag, value in scalars.items() if tag.startswith("keep/") and value == 0}
        assert left == {f"keep/{block}" for block in dropped}
        for unit, choice in one.policy.items():
            inside = any(unit.startswith(f"{block}.") for block in dropped)
            assert (f"weight_bits/{unit}" in scalars) == (choice.weight_bits is not None and not inside)
            if choice.channels is not None and not inside:
                full = {axis.name: axis.options[-1] for axis in memory.agent.problem.space.axes}[f"{unit}.channels"]
                assert scalars[f"channels/{unit}"] == pytest.approx(choice.channels / full)


def test_files_are_records_with_right_checksums(memory: Memory, tmp_path: Path) -> None:
    write(tmp_path / "log", memory, [], go_on(memory, 3))
    (path,) = (tmp_path / "log").glob("events.out.tfevents.*")
    data, at, count = path.read_bytes(), 0, 0
    while at < len(data):
        length, checksum = struct.unpack_from("<QI", data, at)
        assert checksum == masked_crc32c(data[at : at + 8])
        body = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked_crc32c(body)
        at, count = at + 16 + length, count + 1
    assert count == 1 + 3  # the version of the format is the first


@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_resumed_search_adds_what_is_missing_and_repeats_nothing(
    memory: Memory, tmp_path: Path, missing: int
) -> None:
    done = go_on(memory, EVALUATIONS)
    write(tmp_path / "undisturbed", memory, [], done)
    write(tmp_path / "log", memory, [], done[: 8 - missing])  # the journal had more when it was killed
    if missing == 3:
        (path,) = (tmp_path / "log").glob("*")
        path.write_bytes(path.read_bytes()[:-7])  # and was writing
    write(tmp_path / "log", memory, done[:8], done[8:])
    write(tmp_path / "log", memory, done, [])
    assert events(tmp_path / "log") == events(tmp_path / "undisturbed")
    assert len(list((tmp_path / "log").glob("*"))) == 2


@pytest.mark.parametrize(("search", "before"), [("this", 4), ("this", 0), ("another", 8)])
def test_events_of_an_earlier_search_go(memory: Memory, tmp_path: Path, search: str, before: int) -> None:
    done = go_on(memory, EVALUATIONS)
    folder = tmp_path / "log"
    write(folder, memory, [], done[:8])
    write(folder, memory, done[:before], done[before:6], search)
    assert [step for step, _ in events(folder)] == list(range(max(before, 6)))
    assert len(list(folder.glob("*"))) == 1
