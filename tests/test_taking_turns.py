"""The loop of a search: whoever evaluates, in whatever order, and whoever dies, the same comes out."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automc.campaigns import SearchConfig, set_up
from automc.campaigns.campaign import Campaign
from automc.campaigns.config import Limits
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.front import Front
from automc.campaigns.limits import Watch
from automc.campaigns.search import Search
from automc.campaigns.setup import Setup
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.workers import Job, LocalWorkers, Outcome
from automc.costs import Cost
from automc.evaluation import Evaluator
from automc.search_spaces import Policy
from tests.killing import configure

EVALUATIONS, AHEAD = 26, 4  # the first 20 of tpe are random
ON_PAPER: dict[str, Any] = {"device": {"target": "bismo-cloud"}}  # nothing has to be measured
EARLY = {"warmup": 3, "layers": (8, 8), "batch": 8}


class Several(LocalWorkers):
    """Workers that end in any order, and may die.

    Args:
        evaluator: scores policies.
        size: how many jobs run at once.
        dies: says of a job that is about to end, and of how often its workers died, whether one dies again.
        seed: of the order.
    """

    local = False

    def __init__(
        self,
        evaluator: Evaluator,
        size: int,
        dies: Callable[[Job, int], bool] = lambda job, deaths: False,
        seed: int = 0,
    ) -> None:
        super().__init__(evaluator)
        self.size, self._dies, self._random = size, dies, random.Random(seed)
        self.deaths: dict[Job, int] = {}
        self.begun: list[Job] = []
        self.blameless = False

    def submit(self, job: Job) -> None:
        super().submit(job)
        self.begun.append(job)

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        self._jobs.rotate(self._random.randrange(min(len(self._jobs), self.size)))
        job = self._jobs[0]
        if not self._dies(job, self.deaths.get(job, 0)):
            return super().wait(seconds)
        self.deaths[self._jobs.popleft()] = self.deaths.get(job, 0) + 1
        return [Outcome(job, None, 0.0, "w", error="killed", died=True, blameless=self.blameless)]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return set_up(configure(EVALUATIONS, "Never", **ON_PAPER), tmp_path_factory.mktemp("setup"))


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.chdir(tmp_path)
    storage = Storage(sqlite_url(tmp_path / "campaigns.db"))
    yield storage
    storage.close()


def configured(agent: str = "tpe", **more: Any) -> SearchConfig:
    settings = EARLY if agent == "ddpg" else {}
    return configure(EVALUATIONS, "Never", agent=agent, agent_args=settings, **ON_PAPER, **more)


def searching(storage: Storage, setup: Setup, name: str, config: SearchConfig) -> Search:
    """A search that goes on with the campaign of that name, if there is one."""
    try:
        campaign = Campaign(storage, name)
    except Exception:
        campaign = Campaign.create(storage, name, config, Path(), Path())
    about = config.model_dump(mode="json", exclude={"limits"})
    ahead = campaign.begin(about, resume=True, total=2 * EVALUATIONS + 1, ahead=AHEAD)
    return Search(config, setup, campaign.journal, campaign.record.out / name, campaign.digest, ahead)


def found(search: Search) -> list[tuple[str, int, str, float | None]]:
    return [(one.agent, one.number, str(one.policy), one.score) for one in search.evaluations]


@pytest.mark.parametrize("agent", ["tpe", "ddpg"])
def test_proposals_depend_on_how_far_ahead_they_are_and_not_on_workers(
    agent: str, storage: Storage, setup: Setup
) -> None:
    alone = searching(storage, setup, "alone", configured(agent))
    assert alone.run(LocalWorkers(alone.evaluator))
    for size, seed in ((2, 1), (5, 2)):
        several = searching(storage, setup, f"several{size}", configured(agent))
        assert several.run(Several(several.evaluator, size, seed=seed))
        assert found(several) == found(alone)
        assert several.lessons == alone.lessons
    less = searching(storage, setup, "less", configured(agent, ahead=1))
    assert less.run(LocalWorkers(less.evaluator))
    assert found(less) != found(alone)


@pytest.mark.parametrize("agent", ["tpe", "ddpg", "netadapt"])
def test_a_search_killed_at_any_moment_goes_on_the_same_with_other_workers(
    agent: str, storage: Storage, setup: Setup
) -> None:
    alone = searching(storage, setup, "alone", configured(agent))
    alone.run(LocalWorkers(alone.evaluator))
    moments = random.Random(3)
    for session in range(6):
        left = moments.randrange(2, 7)

        def killed(job: Job, deaths: int) -> bool:
            nonlocal left
            left -= 1
            if not left:
                raise RuntimeError("killed")
            return False

        search = searching(storage, setup, "killed", configured(agent))
        with pytest.raises(RuntimeError, match="killed"):
            search.run(Several(search.evaluator, session % 3 + 1, killed, seed=session))
    search = searching(storage, setup, "killed", configured(agent))
    before = {
        (one.agent, one.number)
        for name in search.agents
        for one in Campaign(storage, "killed").journal.evaluations(name)
    }
    workers = Several(search.evaluator, 3)
    assert search.run(workers)
    assert found(search) == found(alone)
    assert len(before) > 10
    assert not before & {(job.agent, job.number) for job in workers.begun}  # nothing that was committed runs again


def test_what_an_agent_from_above_tries_over_the_budget_is_no_result(storage: Storage, setup: Setup) -> None:
    search = searching(storage, setup, "one", configured("netadapt").model_copy(update={"evaluations": 8}))
    assert search.run(LocalWorkers(search.evaluator))
    limit = setup.projection.limits["macs"]
    tried = [one for one in search.evaluations if one.agent == "netadapt"]
    over = [one for one in tried if one.predicted.macs > limit]
    assert len(tried) == 8
    assert over
    assert sorted(one.number for one in search.ranked("netadapt")) == [one.number for one in tried if one not in over]


def test_an_evaluation_whose_worker_dies_begins_again_and_is_passed_by_after_the_third(
    storage: Storage, setup: Setup
) -> None:
    search = searching(storage, setup, "one", configured())
    workers = Several(search.evaluator, 2, lambda job, deaths: deaths < (9 if job.number == 5 else job.number % 3))
    assert search.run(workers)
    poisonous = [one for one in search.evaluations if one.error]
    assert {one.number for one in poisonous} == {5}
    assert all("poisonous: 3 workers died of it" in (one.error or "") for one in poisonous)
    assert len(search.evaluations) == 2 * EVALUATIONS + 1
    assert max(workers.deaths.values()) == 3
    status = Campaign(storage, "one").status()
    assert (status.evaluations, status.failed, status.under_way) == (2 * EVALUATIONS + 1, len(poisonous), 0)


def test_deaths_are_counted_over_sessions_and_only_those_that_an_evaluation_is_to_blame_for(
    storage: Storage, setup: Setup
) -> None:

    def run(number: int, orphaned: bool) -> list[str | None]:
        """Evaluates in the search's own process, and is killed at one evaluation."""
        search = searching(storage, setup, "one", configured("random"))
        workers = Several(search.evaluator, 1, lambda job, _: job.number == number and bool(1 / 0))
        workers.local = True
        try:
            search.run(workers, orphaned=orphaned)
        except ZeroDivisionError:
            return []
        return [one.error for one in search.evaluations if one.number == number and one.agent == "random"]

    assert run(3, orphaned=False) == run(3, orphaned=True) == run(3, orphaned=False) == run(3, orphaned=True) == []
    assert run(3, orphaned=True) == ["poisonous: 3 workers died of it, one after the other"]

    innocent = searching(storage, setup, "two", configured("random"))
    several = Several(innocent.evaluator, 2, lambda job, deaths: deaths < 5)
    several.blameless = True
    assert innocent.run(several)
    assert not any(one.error for one in innocent.evaluations)


def test_asked_to_stop_it_lets_what_runs_end(storage: Storage, setup: Setup) -> None:
    search = searching(storage, setup, "one", configured())
    workers = Several(search.evaluator, 3)
    assert not search.run(workers, asked_to_stop=lambda: len(search.evaluations) >= 7)
    assert Campaign(storage, "one").status().under_way == 0
    assert len(search.evaluations) < 20
    assert searching(storage, setup, "one", configured()).run(workers)


@pytest.mark.parametrize(
    ("limits", "seconds", "reason"),
    [
        (Limits(minutes=10), 601.0, "10 minutes are over"),
        (Limits(worker_hours=1e-9), 0.0, "evaluations took 1e-09 hours"),
        (Limits(patience=2), 0.0, "the front has not moved for 2 evaluations"),
        (Limits(minutes=10, worker_hours=1, patience=27), 0.0, None),
    ],
)
def test_limits_end_a_search_early_and_equally_for_all(
    limits: Limits, seconds: float, reason: str | None, storage: Storage, setup: Setup,
) -> None:  # fmt: skip
    earlier = searching(storage, setup, "one", configured())
    assert not earlier.run(LocalWorkers(earlier.evaluator), asked_to_stop=lambda: len(earlier.evaluations) >= 5)
    search = searching(storage, setup, "one", configured(limits=limits))
    assert search.run(LocalWorkers(search.evaluator), seconds)
    counts = {name: sum(one.agent == name for one in search.evaluations) for name in search.agents}
    assert abs(counts["tpe"] - counts["random"]) <= 1
    if reason is None:
        assert (search.stopped, counts["tpe"]) == (None, EVALUATIONS)
    else:
        assert search.stopped is not None and reason in search.stopped
        assert counts["tpe"] < EVALUATIONS


def test_the_front_moves_where_score_or_cost_are_better() -> None:
    watch = Watch(Limits(patience=2), "tpe", Front())
    one = Evaluated(agent="tpe", number=0, policy=Policy({}), score=0.5, predicted=Cost(100, 2, 3), seconds=1.0)

    def after(score: float | None, macs: int, agent: str = "tpe") -> bool:
        watch.add(
            one.model_copy(update={"score": score, "agent": agent, "predicted": replace(one.predicted, macs=macs)})
        )
        return watch.reached() is not None

    assert [after(0.5, 100), after(0.5, 90), after(0.4, 95), after(0.6, 99), after(0.6, 99)] == [False] * 5
    assert not after(0.9, 1, "random")  # another's front
    assert after(None, 1)
    assert not after(0.7, 200)
