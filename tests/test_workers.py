"""Workers evaluate what they are given, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from automc.campaigns.config import Compute
from automc.campaigns.workers import LocalWorkers, Work, Workers, open_workers
from automc.testing import WorkersSuite
from automc.testing.workers import Case, Job, run
from tests.clusters import Cluster, ray_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster(1, 1) as cluster:
        yield cluster


class TestLocalWorkers(WorkersSuite):
    def make(self, work: Work) -> Workers:
        return LocalWorkers(work.evaluator)


class TestRayWorkers(WorkersSuite):
    @pytest.fixture(autouse=True, scope="class")
    def there(self, cluster: Cluster) -> None:
        type(self).address = cluster.address

    def make(self, work: Work) -> Workers:
        return open_workers(Compute(workers=2, ray_address=self.address), work)

    def test_nodes_share_the_work(self, workers: Workers, case: Case) -> None:
        outcomes = run(workers, [Job("all", number, policy) for number, policy in enumerate(case.policies * 4)])
        assert len({outcome.worker for outcome in outcomes}) == 2
