"""Fidelities and promotion: agents learn at one fidelity, and rungs above it choose among their best."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from automc.campaigns import SearchConfig, run_search, set_up
from automc.campaigns.campaign import Campaign
from automc.campaigns.config import Limits
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.front import Front
from automc.campaigns.ranking import ranked
from automc.campaigns.reports.rungs import rung_claims
from automc.campaigns.search import Search
from automc.campaigns.setup import Setup
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.workers import Job, LocalWorkers, Outcome
from automc.costs import Cost
from automc.evaluation import Evaluator, Fidelity, ahead
from automc.graph import build_graph
from automc.recipes import apply_recipe, load_recipe
from automc.search_spaces import Choice, Policy
from automc.tasks import Task, example
from automc.tasks.loops import score
from automc.tasks.training import Training, train
from tests.killing import configure
from tests.trained import Blobs

ON_PAPER: dict[str, Any] = {"device": {"target": "bismo-cloud"}}  # nothing has to be measured
MORE = {"search_images": 120, "calibration_images": 64}
RUNGS = [{"fidelity": MORE, "keep": 3}, {"fidelity": {**MORE, "epochs": 0.1}, "keep": 2}]
FEW = {"search_images": 60, "calibration_images": 16, "recovery": False}
EVALUATIONS = 5


def configured(task: str = "digits", **more: Any) -> SearchConfig:
    data = {
        "agent": "tpe",
        "fidelity": FEW,
        "rungs": RUNGS,
        "evaluations": EVALUATIONS,
        "budget": "macs<=40%",
        **ON_PAPER,
        **more,
    }
    return SearchConfig.model_validate({"task": task, "space": {"channel_multiple": 8}, **data})


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return set_up(configured(), tmp_path_factory.mktemp("setup"))


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.chdir(tmp_path)
    storage = Storage(sqlite_url(tmp_path / "campaigns.db"))
    yield storage
    storage.close()


def searching(storage: Storage, setup: Setup, name: str, config: SearchConfig) -> Search:
    """A search that goes on with the campaign of that name, if there is one."""
    try:
        campaign = Campaign(storage, name)
    except Exception:
        campaign = Campaign.create(storage, name, config, Path(), Path())
    ahead = campaign.begin(config.model_dump(mode="json", exclude={"limits"}), resume=True, total=1, ahead=1)
    search = Search(config, setup, campaign.journal, campaign.record.out / name, campaign.digest, ahead)
    campaign.expect(search.total(), {})
    return search


def found(search: Search) -> list[tuple[str, int, int, str, float | None]]:
    return [(one.agent, one.number, one.rung, str(one.policy), one.score) for one in search.evaluations]


class Killed(LocalWorkers):
    """Ends with an error after so many evaluations; notes what it was given."""

    def __init__(self, evaluator: Evaluator, after: int | None = None) -> None:
        super().__init__(evaluator)
        self.begun: list[Job] = []
        self._left = after

    def submit(self, job: Job) -> None:
        super().submit(job)
        self.begun.append(job)

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise RuntimeError("killed")
        return super().wait(seconds)


def test_the_best_of_all_alike_are_promoted_and_nothing_is_repeated_or_lost(storage: Storage, setup: Setup) -> None:
    alone = searching(storage, setup, "alone", configured())
    once = Killed(alone.evaluator)
    assert alone.run(once)
    for agent in ("random", "tpe"):
        at = [[one for one in alone.evaluations if (one.agent, one.rung) == (agent, rung)] for rung in range(3)]
        distinct = len({one.policy for one in at[0]})
        assert [len(each) for each in at] == [EVALUATIONS, min(3, distinct), min(2, distinct)]
        for below, above in pairwise(at):
            best = ranked(below, float)[: len(above)]
            assert {one.policy for one in best} == {one.policy for one in above}
        order = alone.ranked(agent)
        assert [one.rung for one in order] == sorted((one.rung for one in order), reverse=True)
        assert {one.policy for one in order[: len(at[2])]} == {one.policy for one in at[2]}
        assert len({one.policy for one in order}) == len(order) == distinct
        assert [one.fidelity for each in at for one in each[:1]] == list(alone.evaluator.fidelities)
    assert {one.rung for one in alone.evaluations if one.agent == "uniform"} == {0, 1, 2}
    assert len({job.what for job in once.begun}) == len(once.begun)  # what several agents ask for is done once

    # killed within the search and at each rung, it goes on with what is missing
    begun: list[Job] = []
    done_at = [sum(job.rung == rung for job in once.begun) for rung in range(3)]
    for after in (done_at[0] - 2, 2 + done_at[1] - 1, 1 + 1, None):
        search = searching(storage, setup, "killed", configured())
        workers = Killed(search.evaluator, after)
        if after is None:
            assert search.run(workers)
        else:
            with pytest.raises(RuntimeError, match="killed"):
                search.run(workers)
        begun += workers.begun[:after]
    assert found(search) == found(alone)
    assert {job.what for job in begun} == {job.what for job in once.begun}
    assert len(begun) == len(once.begun)
    status = Campaign(storage, "killed").status()
    assert (status.evaluations, status.under_way) == (len(alone.evaluations), 0)
    assert status.total is not None and status.total >= status.evaluations


def test_a_promotion_that_fails_or_kills_its_worker_is_passed_by(storage: Storage, tmp_path: Path) -> None:
    config = configure(
        3, "Never", agent="random", rungs=[{"fidelity": {"calibration_images": 32}, "keep": 2}], **ON_PAPER
    )
    setup = set_up(config, tmp_path)
    search = searching(storage, setup, "one", config)

    class Mortal(LocalWorkers):
        local = False
        deaths = 0
        target: Policy | None = None

        def wait(self, seconds: float | None = None) -> list[Outcome]:
            if self.target is None and (self._jobs[0].agent, self._jobs[0].rung) == ("random", 1):
                self.target = self._jobs[0].policy
            if self._jobs[0].what == (self.target, 1):
                self.deaths += 1
                return [Outcome(self._jobs.popleft(), None, 0.0, "w", error="killed", died=True)]
            return super().wait(seconds)

    workers = Mortal(search.evaluator)
    assert search.run(workers)
    ranked = search.ranked("random")
    failed = [one for one in search.evaluations if one.error]
    assert workers.deaths == 3
    assert {one.rung for one in failed} == {1} and all("poisonous" in (one.error or "") for one in failed)
    assert {one.policy for one in failed} == {workers.target}
    assert ranked[0].rung == 1 and ranked[0].policy != workers.target
    assert next(one.rung for one in ranked if one.policy == workers.target) == 0


def test_limits_end_the_search_and_not_the_promotions(storage: Storage, tmp_path: Path) -> None:
    config = configure(9, "Never", rungs=[{"fidelity": {"calibration_images": 32}, "keep": 1}], **ON_PAPER)
    setup = set_up(config, tmp_path)
    earlier = searching(storage, setup, "one", config)
    assert not earlier.run(LocalWorkers(earlier.evaluator), asked_to_stop=lambda: len(earlier.evaluations) >= 5)
    search = searching(storage, setup, "one", config.model_copy(update={"limits": Limits(minutes=1)}))
    assert search.run(LocalWorkers(search.evaluator), seconds=61.0)
    assert search.stopped is not None
    assert [sum(one.rung == rung for one in search.evaluations) for rung in (0, 1)] == [len(earlier.evaluations), 3]


@pytest.mark.slow
def test_the_last_rung_builds_and_chooses_what_comes_out(tmp_path: Path) -> None:
    rungs = [{"fidelity": {"calibration_images": 64, "epochs": 0.5}, "keep": 2}]
    more = {"agent": "random", "evaluations": 2, "finalists": 2, "space": {"channel_multiple": 4}, "rungs": rungs}
    config = configured("trained.py:Blobs", **more)
    result = run_search(config, Path(__file__).parent, tmp_path)
    best = result.row("best")
    promoted = [done for done in result.evaluations if done.rung == 1]
    assert best.search_score == max(done.value for done in promoted)
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert recipe.tuned_epochs == 0.5
    network = apply_recipe(recipe, tmp_path / "recipe.yaml", Blobs())
    assert score(network, Blobs(), "search") == pytest.approx(best.search_score, abs=0.02)  # there in bfloat16, perhaps
    said = " ".join(result.claims)
    assert "rung 1 chose the finalists" in said
    assert "fine-tuned for 0.5 epochs" in said
    assert "resamples of the same images" in said
    assert {done.rung for done in result.compared} == {1}
    assert "at rung 1, the last" in (tmp_path / "report.html").read_text()


def trained(task: Task) -> Evaluator:
    model = task.model()
    graph = build_graph(model, example(task))
    rungs = [Fidelity(calibration_images=64), Fidelity(calibration_images=64, epochs=0.5)]
    return Evaluator(task, model, graph, Fidelity(calibration_images=64, recovery=False), seed=3, rungs=rungs)


def test_rungs_refit_and_train_what_the_one_below_does_not() -> None:
    evaluator = trained(Blobs())
    group = next(group for group in evaluator.graph.groups if not group.frozen)
    policy = Policy({group.name: Choice(channels=group.channels // 2)})
    bare, refitted, tuned = (evaluator.at(rung).build(policy) for rung in range(3))
    again = trained(Blobs()).last.build(policy)
    assert same(tuned, again)  # by its seed
    assert not same(tuned, refitted) and not same(refitted, bare)
    network = evaluator.at(1).build(policy)
    took = train(
        network, evaluator.task, Training(epochs=0.5, rate=0.02), seed=3, description="x", teacher=evaluator.model,
        bfloat16=evaluator.precision == "bfloat16",
    )  # fmt: skip
    assert same(tuned, network)
    batches = sum(1 for _ in evaluator.task.batches("train"))
    assert took.epochs == round(0.5 * batches) / batches


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_fidelities_have_names() -> None:
    config = configured(fidelity="few", rungs=[{"fidelity": "normal", "keep": 8}, {"fidelity": "tuned", "keep": 3}])
    few, normal, tuned = (config.fidelity, *(rung.fidelity for rung in config.rungs))
    assert (few.search_images, few.calibration_images, few.recovery) == (500, 64, False)
    assert normal == Fidelity()
    assert tuned == Fidelity(epochs=0.5)
    assert [str(one) for one in (few, normal, tuned, Fidelity(epochs=2))] == ["few", "normal", "tuned", "epochs 2"]
    assert SearchConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ({"fidelity": "fw"}, ("fidelity",), "unknown fidelity 'fw' \\(did you mean 'few'"),
        ({"rungs": [*RUNGS, {"fidelity": "tuned", "keep": 3}]}, ("rungs", 2, "keep"), "3 come up from a rung that"),
        ({"rungs": [{"fidelity": FEW, "keep": 3}]}, ("rungs", 0, "fidelity"), "the same as one rung below"),
        ({"rungs": [{"fidelity": "normal", "keep": 0}]}, ("rungs", 0, "keep"), "greater than or equal to 1"),
        ({"fidelity": "normal", "rungs": [{"fidelity": "few", "keep": 1}]}, ("rungs", 0, "fidelity"), "be recovered"),
        ({"rungs": []}, ("fidelity",), "the result would not be recovered"),
    ],
)  # fmt: skip
def test_bad_rungs_are_refused_by_field(changes: dict[str, Any], where: tuple[str | int, ...], what: str) -> None:
    with pytest.raises(ValidationError, match=what) as refused:
        configured(**changes)
    assert [error["loc"] for error in refused.value.errors()] == [where]


def evaluated(number: int, rung: int, score: float) -> Evaluated:
    policy = Policy({"conv": Choice(channels=number % 10 + 1)})
    values: dict[str, Any] = {"agent": "tpe", "number": number, "policy": policy, "score": score, "rung": rung}
    return Evaluated(**values, predicted=Cost(number % 10, 2, 3), seconds=0.1)


def test_scores_of_two_rungs_are_never_on_one_front() -> None:
    front = Front()
    assert front.add(evaluated(1, 0, 0.9))
    assert front.add(evaluated(11, 1, 0.5))
    assert not front.add(evaluated(2, 0, 0.99))
    assert [point.score for point in front.points] == [0.5]


def test_the_report_says_how_scores_of_rungs_agree() -> None:
    below = [evaluated(number, 0, number / 10) for number in range(8)]
    above = [evaluated(10 + number, 1, score) for number, score in ((7, 0.8), (6, 0.7), (5, 0.9))]
    chosen, agree = rung_claims([*below, *above], [Fidelity(), Fidelity(epochs=0.5)])
    assert "8 at rung 0 (normal), 3 at rung 1 (tuned)" in chosen and "rung 1 chose the finalists" in chosen
    assert "rung 0 with rung 1 -0.50 (3 policies)" in agree
    assert rung_claims(below, [Fidelity()]) == []


def test_networks_are_compared_on_the_same_examples() -> None:
    task, generator = Blobs(), torch.Generator().manual_seed(0)
    targets = torch.randint(3, (400,), generator=generator)
    hard = torch.arange(400) < 200  # neither knows these
    logits = torch.nn.functional.one_hot(torch.where(hard, (targets + 1) % 3, targets), 3).float()
    worse = logits.clone()
    worse[-8:] = logits[-8:].roll(1, 1)  # two points, far less than the scores' own error
    assert ahead(task, logits, worse, targets) > 0.99  # type: ignore[operator]
    assert ahead(task, worse, logits, targets) < 0.01  # type: ignore[operator]
    assert ahead(task, logits, logits, targets) == 0.5
    assert ahead(task, logits, logits[:9], targets) is None
