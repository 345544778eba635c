"""What is started again, and what is not: drivers here are a few words of shell."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from automc.campaigns.campaign import Campaign
from automc.campaigns.config import SearchConfig
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.supervisor import BAD_INPUT, DONE, INTERRUPTED, LOST, PAUSES, Supervisor
from automc.costs import Cost
from automc.errors import SearchError
from automc.search_spaces import Choice, Policy

KILLED = "kill -9 $$"


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    storage = Storage(sqlite_url(tmp_path / "campaigns.db"))
    config = SearchConfig(task="digits", budget=("macs<=50%",))
    yield Campaign.create(storage, "one", config, tmp_path, tmp_path / "out")
    storage.close()


def commit(campaign: Campaign, number: int) -> None:
    policy = Policy({"conv": Choice(number + 1)})
    campaign.journal.begin("random", number, policy)
    costs = Cost(1, 2, 3, 4)
    campaign.journal.commit(
        Evaluated(agent="random", number=number, policy=policy, score=0.5, predicted=costs, seconds=0.1)
    )


class Drivers:
    """Drivers that a supervisor starts, one after the other; the last script stands for all further ones."""

    def __init__(self, campaign: Campaign, *scripts: str, before: Callable[[int], None] = lambda start: None) -> None:
        self.campaign, self.scripts, self.before = campaign, scripts, before
        self.starts: list[bool] = []

    def command(self, again: bool) -> Sequence[str]:
        self.before(len(self.starts))
        script = self.scripts[min(len(self.starts), len(self.scripts) - 1)]
        self.starts.append(again)
        return "sh", "-c", script

    def run(self) -> int:
        pauses = (0.0,) * len(PAUSES)
        return Supervisor(self.command, lambda: contextlib.nullcontext(self.campaign), pauses=pauses).run()


def test_pauses_grow() -> None:
    assert list(PAUSES) == sorted(set(PAUSES))


def test_a_driver_that_always_dies_is_given_up(campaign: Campaign) -> None:
    drivers = Drivers(campaign, KILLED)
    with pytest.raises(SearchError, match=r"given up: 6 drivers in a row .* killed by SIGKILL$") as given_up:
        drivers.run()
    assert drivers.starts == [False, True, True, True, True, True]
    status = campaign.status()
    assert (status.state, status.reason) == ("failed", str(given_up.value))


def test_one_that_gets_on_is_started_again_for_ever(campaign: Campaign) -> None:
    drivers = Drivers(campaign, *[KILLED] * 9, "exit 0", before=lambda start: commit(campaign, start))
    assert drivers.run() == DONE
    assert len(drivers.starts) == 10


def test_epochs_of_fine_tuning_count_as_getting_on(campaign: Campaign) -> None:
    def epoch(start: int) -> None:
        path = campaign.record.out / "checkpoints" / "policy" / f"epoch{start}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    drivers = Drivers(campaign, *[KILLED] * 9, "exit 0", before=epoch)
    assert drivers.run() == DONE


@pytest.mark.parametrize("code", [DONE, 1, BAD_INPUT, INTERRUPTED])
def test_what_ends_with_a_word_is_not_started_again(campaign: Campaign, code: int) -> None:
    drivers = Drivers(campaign, f"exit {code}", before=lambda start: campaign.end("failed", "as it says"))
    assert drivers.run() == code
    assert drivers.starts == [False]
    assert campaign.status().reason == "as it says"


@pytest.mark.parametrize("script", [KILLED, "kill -11 $$", f"exit {LOST}"])
def test_what_was_killed_or_lost_its_cluster_is_started_again(campaign: Campaign, script: str) -> None:
    drivers = Drivers(campaign, script, "exit 0")
    assert drivers.run() == DONE
    assert drivers.starts == [False, True]


def test_one_that_goes_without_a_word_is_started_again(campaign: Campaign) -> None:
    """As libraries do that end their process."""
    drivers = Drivers(campaign, "exit 1", "exit 0", before=lambda start: campaign.end("running"))
    assert drivers.run() == DONE
    assert drivers.starts == [False, True]


def test_one_that_comes_before_its_cluster_is_back_tries_again(campaign: Campaign) -> None:
    drivers = Drivers(campaign, f"exit {LOST}", "exit 2", "exit 2", "exit 0")
    assert drivers.run() == DONE
    assert len(drivers.starts) == 4


def test_one_that_ended_before_it_began_has_failed(campaign: Campaign) -> None:
    assert Drivers(campaign, "exit 1").run() == 1
    assert campaign.status().state == "failed"
    assert "ended before it began (exit code 1)" in str(campaign.status().reason)


def test_who_is_refused_leaves_a_campaign_alone_that_another_process_drives(campaign: Campaign) -> None:
    session = campaign.drive()
    try:
        for script in ("exit 2", KILLED):
            drivers = Drivers(campaign, script)
            assert drivers.run() != DONE
            assert drivers.starts == [False]
            assert campaign.status().state == "running"
    finally:
        session.close()


@pytest.mark.parametrize(("wish", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_what_was_asked_of_a_driver_that_died_is_done(campaign: Campaign, wish: str, state: str) -> None:
    """Asked while nobody drove it, and of one that was killed before it saw to it."""

    def ask(start: int) -> None:
        if start == 1:
            campaign.wish("pause" if wish == "pause" else "cancel")

    drivers = Drivers(campaign, KILLED, before=ask)
    assert drivers.run() == INTERRUPTED
    assert campaign.status().state == state
    assert len(drivers.starts) == 2

    campaign.queue()
    session = campaign.drive()
    campaign.wish("pause" if wish == "pause" else "cancel")
    session.close()
    assert Drivers(campaign, KILLED).run() == INTERRUPTED
    assert campaign.status().state == state


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_driver_which_pauses(campaign: Campaign, tmp_path: Path, number: int) -> None:
    ready = tmp_path / "ready"
    drivers = Drivers(campaign, f"trap 'echo asked > asked; exit 130' INT; touch {ready}; while :; do sleep 0.02; done")

    def ask() -> None:
        while not ready.exists():
            pass
        os.kill(os.getpid(), number)

    with contextlib.chdir(tmp_path):
        asking = threading.Thread(target=ask)
        asking.start()
        assert drivers.run() == INTERRUPTED
        asking.join()
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert campaign.status().state == "paused"


def test_a_driver_that_dies_while_it_is_stopped_is_not_started_again(campaign: Campaign, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    drivers = Drivers(campaign, f"trap '{KILLED}' INT; touch {ready}; while :; do sleep 0.02; done")

    def ask() -> None:
        while not ready.exists():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    assert drivers.run() == INTERRUPTED
    asking.join()
    assert drivers.starts == [False]
    assert campaign.status().state == "paused"
