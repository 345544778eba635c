"""Nothing that finished is lost: a search goes on where it was killed, and ends as an undisturbed one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automc.campaigns import run_search, unfinished
from automc.campaigns.campaign import Campaign
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.journal import FILE
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.studies import names
from automc.campaigns.workers import LocalWorkers, Outcome
from automc.costs import Cost
from automc.errors import ConfigError
from automc.evaluation import forward
from automc.search_spaces import Choice, Policy
from tests.killing import committed, configure, kill_again_and_again, searched

KILLS, EVALUATIONS = 3, 12  # benchmarks/resume.py does it with more of both


def evaluated(number: int, agent: str = "random", extra: bool = False) -> Evaluated:
    policy = Policy({"conv1": Choice(number + 1)})
    return Evaluated(
        agent=agent,
        number=number,
        policy=policy,
        score=number / 7,
        predicted=Cost(1, 2, 3, 4),
        seconds=0.1,
        extra=extra,
    )


def test_a_search_killed_again_and_again_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(EVALUATIONS, folder=tmp_path)
    total = 2 * EVALUATIONS + 1
    scored, scored_undisturbed = tmp_path / "scored", tmp_path / "scored_undisturbed"
    monkeypatch.setenv("FAILING_LOG", str(scored_undisturbed))
    undisturbed = run_search(config, tmp_path, tmp_path / "undisturbed")
    monkeypatch.setenv("FAILING_LOG", str(scored))
    seen = kill_again_and_again(tmp_path, KILLS, total, seed=0)
    assert unfinished(tmp_path / "out")
    resumed = run_search(config, tmp_path, tmp_path / "out", resume=True)
    assert searched(resumed) == searched(undisturbed)
    assert resumed.row("best").policy == undisturbed.row("best").policy
    assert len({(e.agent, e.number) for e in resumed.evaluations}) == committed(tmp_path / "out") == total
    # none was evaluated twice but those that were under way when a kill came
    assert len(scored.read_text().splitlines()) <= len(scored_undisturbed.read_text().splitlines()) + len(seen)
    assert not unfinished(tmp_path / "out")


def test_scores_of_two_precisions_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, wait = configure(4, "Never"), LocalWorkers.wait

    def killed(workers: LocalWorkers, seconds: float | None = None) -> list[Outcome]:
        ended = wait(workers, seconds)
        if any(one.job.number == 2 for one in ended):
            raise KeyboardInterrupt
        return ended

    with monkeypatch.context() as patch:
        patch.setattr(LocalWorkers, "wait", killed)
        patch.setattr(forward, "has_bfloat16", lambda: True)
        with pytest.raises(KeyboardInterrupt):
            run_search(config, tmp_path, tmp_path)
    assert committed(tmp_path) >= 3
    monkeypatch.setattr(forward, "has_bfloat16", lambda: False)  # as on another machine
    with pytest.raises(ConfigError, match="of another search \\(precision is 'bfloat16' there, 'float32' here\\)"):
        run_search(config, tmp_path, tmp_path, resume=True)


def test_a_search_that_has_ended_is_begun_anew(tmp_path: Path) -> None:
    config = configure(1, "Never")
    first = run_search(config, tmp_path, tmp_path)
    second = run_search(config, tmp_path, tmp_path)
    assert searched(first) == searched(second)
    assert committed(tmp_path) == 3


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(sqlite_url(tmp_path / FILE))
    yield storage
    storage.close()


def begun(storage: Storage, about: dict[str, Any], resume: bool = False) -> Campaign:
    """A campaign that has begun; nobody drives it."""
    campaign = (
        Campaign(storage, "search")
        if "search" in names(storage)
        else Campaign.create(storage, "search", configure(3), Path(), Path())
    )
    campaign.begin({"ahead": None} | about, resume, total=3, ahead=1)
    return campaign


def append(campaign: Campaign, done: Evaluated) -> None:
    campaign.journal.begin(done.agent, done.number, done.policy, done.extra)
    campaign.journal.commit(done)


@pytest.mark.parametrize(
    ("about", "resume", "message"),
    [
        ({"seed": 0}, False, "has not ended, with 2 finished evaluations.*--resume.*--out"),
        ({"seed": 1}, True, "of another search \\(seed is 0 there, 1 here\\)"),
        ({"seed": 0, "task": "x"}, True, "task is None there, 'x' here"),
    ],
)
def test_a_journal_that_is_not_to_be_continued_is_refused(
    storage: Storage, about: dict[str, Any], resume: bool, message: str
) -> None:
    campaign = begun(storage, {"seed": 0})
    append(campaign, evaluated(0))
    append(campaign, evaluated(1))
    for _ in range(2):  # refusing changes nothing
        with pytest.raises(ConfigError, match=message) as refused:
            begun(storage, about, resume)
        assert "\n" not in str(refused.value)
    assert begun(storage, {"seed": 0}, resume=True).journal.evaluations("random") == [evaluated(0), evaluated(1)]


@pytest.mark.parametrize("damage", [b"no database at all" * 99, b""])
@pytest.mark.parametrize("resume", [True, False])
def test_a_damaged_journal_is_refused_or_begun_where_it_is_empty(tmp_path: Path, damage: bytes, resume: bool) -> None:
    (tmp_path / FILE).write_bytes(damage)
    if not damage:
        assert run_search(configure(1, "Never"), tmp_path, tmp_path, resume).evaluations
        return
    with pytest.raises(ConfigError, match="journal is damaged") as refused:
        run_search(configure(1, "Never"), tmp_path, tmp_path, resume)
    assert "\n" not in str(refused.value)
    assert (tmp_path / FILE).read_bytes() == damage


def test_agents_have_studies_of_their_own_and_extra_evaluations_come_back(storage: Storage) -> None:
    campaign = begun(storage, {})
    for done in (evaluated(0), evaluated(0, "tpe"), evaluated(1, extra=True)):
        append(campaign, done)
    journal = begun(storage, {}, resume=True).journal
    assert journal.evaluations("random") == [evaluated(0), evaluated(1, extra=True)]
    assert journal.evaluations("tpe") == [evaluated(0, "tpe")]
    assert journal.evaluations("uniform") == []
