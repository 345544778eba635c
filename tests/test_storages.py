"""A campaign is the same in every storage: SQLite, PostgreSQL, and Optuna's proxy in front of one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from automc.campaigns.campaign import Campaign
from automc.campaigns.storage import Storage
from automc.campaigns.studies import names
from automc.errors import ConfigError
from tests import storages
from tests.storages import ABOUT, KINDS, TIMING, add, begun, elsewhere, evaluated, make, policy


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return storages.storage_url(request.param, request, tmp_path_factory.mktemp("storage"))


@pytest.fixture(scope="module")
def storage(url: str) -> Iterator[Storage]:
    storage = Storage(url)
    yield storage
    storage.close()


def again(url: str, name: str) -> Campaign:
    """Returns a campaign as another process sees it, which has nothing in memory."""
    return Campaign(Storage(url), name)


def test_what_is_committed_is_read_as_it_was(storage: Storage, url: str) -> None:
    campaign = begun(storage, "committed")
    rows = [evaluated(1), evaluated(0), evaluated(2, failed=True), evaluated(3, extra=True), evaluated(0, "tpe")]
    for done in rows:
        add(campaign, done)
        campaign.journal.commit(done)  # as where the answer was lost
    campaign.journal.begin("tpe", 1, policy(1))
    campaign.journal.begin("tpe", 1, policy(1))
    campaign.journal.died("tpe", 1, 2)
    campaign.journal.measured(rows[0], TIMING)
    for seen in (campaign, again(url, "committed")):
        journal = seen.journal
        assert sorted(journal.agents()) == ["random", "tpe"]
        assert journal.evaluations("random") == [
            rows[1],
            rows[0].model_copy(update={"measured": TIMING}),
            rows[2],
            rows[3],
        ]
        assert journal.evaluations("tpe") == [rows[4]]
        assert [(one.number, one.policy, one.deaths) for one in journal.begun("tpe")] == [(1, policy(1), 2)]
        assert (journal.evaluations("ppo"), journal.begun("ppo")) == ([], [])
        assert sorted(journal.agents()) == ["random", "tpe"]  # asking adds nobody
        status = seen.status()
        assert (status.evaluations, status.failed, status.under_way, status.total) == (5, 1, 1, 10)
        assert status.worker_seconds == 2.5
    with pytest.raises(KeyError, match="random: evaluation 9 has not begun"):
        campaign.journal.commit(evaluated(9))


def test_parameters_of_optunas_agents_are_there_for_its_own_tools(storage: Storage, url: str) -> None:
    import optuna

    distributions = {"a": optuna.distributions.IntDistribution(1, 64)}
    campaign = begun(storage, "parameters")
    campaign.journal.begin("tpe", 0, policy(0), False, {"a": 5}, distributions)
    campaign.journal.commit(evaluated(0, "tpe"))
    assert again(url, "parameters").journal.evaluations("tpe") == [evaluated(0, "tpe")]
    if not url.startswith("grpc"):
        trial = optuna.load_study(study_name="parameters/tpe", storage=Storage(url)._url).trials[0]
        assert (trial.params, trial.distributions, trial.value) == ({"a": 5}, distributions, 0.0)


def test_campaigns_in_one_storage_do_not_mix(storage: Storage, url: str) -> None:
    one, other = begun(storage, "mixed"), begun(storage, "mixed2")
    add(one, evaluated(0))
    add(other, evaluated(0, "tpe"))
    add(other, evaluated(1, "tpe"))
    assert one.journal.agents() == ["random"]
    assert other.journal.agents() == ["tpe"]
    one.delete()
    assert "mixed" not in names(storage)
    seen = again(url, "mixed2")
    assert seen.journal.evaluations("tpe") == [evaluated(0, "tpe"), evaluated(1, "tpe")]
    with pytest.raises(ConfigError, match="no campaign mixed in"):
        again(url, "mixed")
    with pytest.raises(ConfigError, match="somebody deleted it"):
        one.status()
    assert begun(storage, "mixed").journal.evaluations("random") == []


def test_what_is_begun_anew_has_nothing_of_what_was(storage: Storage, url: str) -> None:
    watched, campaign = begun(storage, "anew"), again(url, "anew")
    for number in range(3):
        add(campaign, evaluated(number))
    assert watched.status().evaluations == 3
    campaign.end("finished")
    campaign.begin(ABOUT, False, 10, 1)
    assert campaign.status().evaluations == watched.status().evaluations == 0
    add(campaign, evaluated(0, failed=True))
    # another process, which remembers rows by number, does not take new ones for old
    assert watched.status().failed == 1
    assert watched.journal.evaluations("random") == [evaluated(0, failed=True)]


def test_names_are_refused_that_are_taken_or_none(storage: Storage) -> None:
    make(storage, "taken")
    with pytest.raises(ConfigError, match=r"there is a campaign taken in .*--name"):
        make(storage, "taken")
    for name in ("", "a/b", "../a", "-a", "a b", "x" * 81):
        with pytest.raises(ConfigError, match="cannot name a campaign"):
            make(storage, name)
    add(begun(storage, "agents"), evaluated(0))
    with pytest.raises(ConfigError, match=r"no campaign agents/random in .*agents"):
        Campaign(storage, "agents/random")


def test_status_tells_each_stage(storage: Storage) -> None:
    campaign = make(storage, "stages")
    assert campaign.status().state == "queued"
    assert (campaign.status().started, campaign.status().driver) == (None, None)
    session = campaign.drive()
    status = campaign.status()
    assert status.state == "running"
    assert str(status.driver).endswith(f":{os.getpid()}")
    campaign.end("failed", "no luck")
    session.close()
    assert (campaign.status().state, campaign.status().reason, campaign.status().driver) == ("failed", "no luck", None)
    campaign.wish("pause")  # nobody drives: it is so at once
    assert campaign.status().state == "paused"
    session = campaign.drive()
    assert campaign.status().state == "running"
    campaign.end("finished")
    session.close()
    assert campaign.status().state == "finished"
    assert campaign.status().ended is not None
    assert campaign.seconds() >= 0


def test_one_process_drives_and_after_its_death_the_next(storage: Storage, url: str) -> None:
    campaign = begun(storage, "driven")
    add(campaign, evaluated(0))
    process, said = elsewhere(storages.drive, url, "driven")
    assert said == "driving"
    with pytest.raises(ConfigError, match=rf"driven is being driven by another process \(.*{process.pid}\)"):
        campaign.drive()
    with pytest.raises(ConfigError, match=r"is being driven by .*cancel it first"):
        campaign.delete()
    process.kill()
    process.join()
    status = campaign.status()
    assert (status.state, status.evaluations) == ("failed", 1)
    assert "its driver ended without a word" in str(status.reason)
    session = campaign.drive()
    assert session.orphaned
    with pytest.raises(ConfigError, match="is being driven by another process"):  # two at once in one process neither
        campaign.drive()
    _, said = elsewhere(storages.drive, url, "driven")
    assert "driven is being driven by another process" in said
    session.close()


def test_a_changed_configuration_is_refused_with_what_differs(storage: Storage) -> None:
    campaign = begun(storage, "changed")
    add(campaign, evaluated(0))
    with pytest.raises(ConfigError, match=r"of another search \(seed is 0 there, 1 here\)"):
        campaign.begin({**ABOUT, "seed": 1}, True, 10, 1)
    with pytest.raises(ConfigError, match="has not ended, with 1 finished evaluations"):
        campaign.begin(ABOUT, False, 10, 1)
    assert campaign.begin(ABOUT, True, 10, 4) == 1  # it keeps what it began with


def test_two_campaigns_at_once_from_two_processes(storage: Storage, url: str) -> None:
    processes = [elsewhere(storages.evaluate_soon, url, name, 15) for name in ("left", "right")]
    for process, _ in processes:
        process.join(60)
        assert process.exitcode == 0
    for name in ("left", "right"):
        assert Campaign(storage, name).journal.evaluations("random") == [evaluated(number) for number in range(15)]


def test_nothing_is_written_where_nothing_is_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; it appears with the first campaign"):
        Storage(str(tmp_path / "folder" / "campaigns.db"), create=False)
    assert not (tmp_path / "folder").exists()
