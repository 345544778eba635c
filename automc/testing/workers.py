"""What all workers promise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from automc.campaigns.workers import Job, Outcome, Work, Workers
from automc.evaluation import Evaluator, Fidelity
from automc.graph import build_graph
from automc.search_spaces import Policy, SpaceConfig, build_space
from automc.tasks import example, load_task
from automc.testing import moody
from automc.versions import versions

_JOBS = 8
_LONG = 120.0  # seconds after which a job is taken for lost


@dataclass(frozen=True)
class Case:
    """Something to evaluate, and what comes out.

    Attributes:
        work: what workers need.
        policies: the policies.
        scores: what they are worth in this process; the second's evaluation fails.
        deadly: a policy whose evaluation ends the process.
        above: what the first is worth at the rung above.
    """

    work: Work
    policies: Sequence[Policy]
    scores: Sequence[float | None]
    deadly: Policy
    above: float


class WorkersSuite(ABC):
    """Subclass it as ``TestMyWorkers`` and give `make`; pytest runs the rest.

    Example::

        class TestMyWorkers(WorkersSuite):
            def make(self, work):
                return MyWorkers(work)
    """

    @abstractmethod
    def make(self, work: Work) -> Workers:
        """Returns the workers under test."""

    @pytest.fixture(scope="class")
    def case(self) -> Case:
        """A small task, some of its policies and their scores."""
        return make_case()

    @pytest.fixture(scope="class")
    def workers(self, case: Case) -> Iterator[Workers]:
        """The workers, opened once; they are closed twice."""
        with self.make(case.work) as workers:
            yield workers
        workers.close()

    def test_every_job_comes_out_once_with_its_score(self, workers: Workers, case: Case) -> None:
        """More jobs than run at once; the scores are those of any other process, to the bit."""
        jobs = [Job("one", number, policy) for number, policy in enumerate(case.policies)]
        outcomes = run(workers, jobs)
        assert sorted(outcome.job.number for outcome in outcomes) == list(range(_JOBS))
        assert {outcome.job.number: outcome.score for outcome in outcomes} == dict(enumerate(case.scores))

    def test_a_job_is_done_at_its_rung(self, workers: Workers, case: Case) -> None:
        """The same policy at two fidelities, whoever has done what before."""
        outcomes = run(workers, [Job("rungs", rung, case.policies[0], rung) for rung in (0, 1)])
        assert {outcome.job.rung: outcome.score for outcome in outcomes} == {0: case.scores[0], 1: case.above}
        assert case.above != case.scores[0]

    def test_a_failing_evaluation_is_an_error_in_one_line(self, workers: Workers, case: Case) -> None:
        """And the worker goes on."""
        failed, done = sorted(
            run(workers, [Job("two", number, case.policies[number]) for number in (1, 2)]), key=lambda o: o.job.number
        )
        assert failed.score is None
        assert not failed.died
        assert failed.error is not None
        assert "no score for this" in failed.error
        assert done.error is None

    def test_agents_may_ask_for_the_same(self, workers: Workers, case: Case) -> None:
        """Jobs are told apart by who asks and by number, not by policy."""
        jobs = [Job(agent, number, case.policies[0]) for agent in ("three", "four") for number in range(2)]
        assert {(o.job.agent, o.job.number) for o in run(workers, jobs)} == {(job.agent, job.number) for job in jobs}

    def test_says_who_did_it_with_what(self, workers: Workers, case: Case) -> None:
        """The journal keeps it."""
        (outcome,) = run(workers, [Job("five", 0, case.policies[3])])
        assert outcome.worker
        assert outcome.seconds >= 0
        assert dict(outcome.versions) == versions()

    def test_waits_for_nothing_where_nothing_is_under_way(self, workers: Workers) -> None:
        """It would wait for ever."""
        assert workers.wait() == []

    def test_a_worker_that_dies_is_replaced(self, workers: Workers, case: Case) -> None:
        """Its job comes out as died; all others come out as ever."""
        if workers.local:
            pytest.skip("it is this process")
        deadly = Job("six", _JOBS, case.deadly)
        jobs = [deadly, *(Job("six", number, policy) for number, policy in enumerate(case.policies))]
        outcomes = {outcome.job.number: outcome for outcome in run(workers, jobs)}
        death = outcomes.pop(_JOBS)
        assert death.died
        assert not death.blameless
        assert death.score is None
        assert death.error is not None
        assert "\n" not in death.error
        assert {number: outcome.score for number, outcome in outcomes.items()} == dict(enumerate(case.scores))
        assert not any(outcome.died for outcome in outcomes.values())
        (again,) = run(workers, [deadly])
        assert again.died


def make_case(seconds: float = 0.0) -> Case:
    """Returns a small task, some of its policies and their scores.

    Args:
        seconds: that each score takes in workers.
    """
    evaluator = _evaluator({})
    space = build_space(evaluator.graph, SpaceConfig(channel_multiple=2), 2)
    last = [len(axis.options) - 1 for axis in space.axes]
    indices = [
        [max(most - 1 - number % 3, 0) if at == number // 3 else most for at, most in enumerate(last)]
        for number in range(_JOBS + 1)
    ]
    policies = list(dict.fromkeys(space.decode(np.array(one)) for one in indices))
    scores: list[float | None] = [evaluator.evaluate(policy).score for policy in policies]
    arguments = {"fails": [scores[1]], "kills": [scores[-1]], "seconds": seconds}
    scores[1] = None
    work = Work(f"{moody.__file__}:Moody", arguments, "", _evaluator(arguments))
    return Case(work, policies[:-1], scores[:-1], policies[-1], evaluator.at(1).evaluate(policies[0]).score)


def _evaluator(arguments: dict[str, Any]) -> Evaluator:
    task = load_task(f"{moody.__file__}:Moody", arguments)
    model = task.model()
    fidelity, above = Fidelity(calibration_images=16), Fidelity(search_images=32, calibration_images=16)
    return Evaluator(task, model, build_graph(model, example(task)), fidelity, rungs=[above])


def run(workers: Workers, jobs: Sequence[Job]) -> list[Outcome]:
    """Submits jobs and waits for all of them."""
    for job in jobs:
        workers.submit(job)
    outcomes: list[Outcome] = []
    while len(outcomes) < len(jobs):
        new = workers.wait(_LONG)
        assert new, "jobs were lost"
        outcomes += new
    assert workers.wait(0.0) == [], "there are more outcomes than jobs"
    return outcomes
