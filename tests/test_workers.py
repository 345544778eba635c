"""Workers evaluate what they are given, wherever they are."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import psutil
import pytest
import ray

from automc.campaigns.config import Compute
from automc.campaigns.workers import Job, LocalWorkers, Work, Workers, open_workers
from automc.campaigns.workers.head import check_head
from automc.errors import ConfigError
from automc.testing import WorkersSuite
from automc.testing.workers import Case, run
from tests.clusters import Cluster, ray_cluster


class TestLocalWorkers(WorkersSuite):
    def make(self, work: Work) -> Workers:
        return LocalWorkers(work.evaluator)


class TestRayWorkers(WorkersSuite):
    """On a cluster of two nodes, each with room for one worker."""

    cluster: Cluster

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def running(cls) -> Iterator[None]:
        with ray_cluster(1, 1) as cls.cluster:
            yield

    def make(self, work: Work) -> Workers:
        return open_workers(Compute(workers=2, ray_address=self.cluster.address), work)

    def test_all_nodes_work(self, workers: Workers, case: Case) -> None:
        nodes: set[int] = set()
        while len(nodes) < 2:  # a worker that was replaced in the test before may still be on its way
            outcomes = run(workers, [Job("all", number, case.policies[0]) for number in range(8)])
            # the parent of a worker's process is its node's
            nodes |= {psutil.Process(int(outcome.worker.split(":")[1])).ppid() for outcome in outcomes}
        assert len(nodes) == 2

    @pytest.mark.parametrize(
        ("compute", "problem"),
        [
            (Compute(workers=3), "3 workers with 1 CPU each were asked for, and there are 2 CPU and 0 GPU on 2 nodes"),
            (Compute(workers=1, cpus=2), "1 workers with 2 CPU each .* 2 CPU and 0 GPU on 2 nodes"),
            (Compute(workers=2, gpus=0.5), "2 workers with 1 CPU and 0.5 GPU each .* 0 GPU"),
            (Compute(workers=2, gpus=1.5), "compute.gpus: must be a whole number"),
        ],
    )
    def test_more_than_there_is_is_refused(self, workers: Workers, case: Case, compute: Compute, problem: str) -> None:
        with pytest.raises(ConfigError, match=problem):
            open_workers(compute.model_copy(update={"ray_address": self.cluster.address}), case.work)
        assert run(workers, [Job("after", 0, case.policies[0])])  # the connection was left alone

    def test_a_machine_outside_of_the_cluster_is_told_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(psutil, "net_if_addrs", dict)
        with pytest.raises(ConfigError, match="this machine is no node of the cluster"):
            check_head(self.cluster.address)

    def test_another_version_of_ray_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ray, "__version__", "2.0.0")
        with pytest.raises(ConfigError, match=r"runs Ray \d+\.\d+\.\d+, this process 2\.0\.0; install the same"):
            check_head(self.cluster.address)


@pytest.mark.parametrize("address", ["cluster", "cluster:", ":6379", "cluster:port", "cluster:0", "cluster:65536"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is no host:port"):
        check_head(address)


def test_other_ways_to_a_cluster_are_named() -> None:
    with pytest.raises(ConfigError, match="ray job submit"):
        check_head("ray://127.0.0.1:10001")


@pytest.mark.parametrize(("listens", "problem"), [(False, "nobody answers"), (True, "is not the head")])
def test_an_address_without_a_cluster_is_refused(listens: bool, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if listens:
            threading.Thread(target=_hang_up, args=(server,), daemon=True).start()
        else:
            server.close()
        with pytest.raises(ConfigError, match=problem):
            check_head(f"127.0.0.1:{port}")


def _hang_up(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return
