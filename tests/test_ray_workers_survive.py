"""Deaths of workers, machines and clusters, and what cannot work there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from automc.campaigns.config import Compute
from automc.campaigns.workers import Job, Outcome, Work, Workers, on_ray, open_workers
from automc.errors import AutoMCError, ConfigError, SearchError, TaskError
from automc.evaluation import Evaluator, Fidelity
from automc.graph import build_graph
from automc.tasks import example, load_task
from automc.testing.workers import Case, make_case, run
from automc.versions import versions
from tests.clusters import Cluster, add_node, ray_cluster

pytestmark = pytest.mark.slow

DRIVER = """
import sys
from automc.campaigns.config import Compute
from automc.campaigns.workers import Job, open_workers
from automc.errors import AutoMCError
from automc.testing.workers import make_case

case = make_case(100.0)
try:
    with open_workers(Compute(workers=2, ray_address=sys.argv[1] if sys.argv[1:] else None), case.work) as workers:
        for number, policy in enumerate(case.policies):
            workers.submit(Job("one", number, policy))
        print(workers.wait()[0].worker, flush=True)
        while True:
            workers.wait(1.0)
except AutoMCError as error:
    print(type(error).__name__, error)
    sys.exit(75)
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes with room for a worker each; one of them is elsewhere."""
    with ray_cluster(1) as cluster:
        add_node(cluster, 1, ELSEWHERE="1")
        yield cluster


def opened(cluster: Cluster, work: Work) -> Workers:
    return open_workers(Compute(workers=2, ray_address=cluster.address), work)


def elsewhere(name: str) -> Work:
    """A task of ``elsewhere.py``."""
    folder = Path(__file__).parent
    task = load_task(f"elsewhere.py:{name}", {}, folder)
    model = task.model()
    evaluator = Evaluator(task, model, build_graph(model, example(task)), Fidelity(calibration_images=16))
    return Work(f"elsewhere.py:{name}", {}, str(folder), evaluator)


def under_way(workers: Workers, case: Case) -> tuple[list[Outcome], str]:
    """Lets workers begin; returns what has ended until one is seen, and who it is."""
    for number, policy in enumerate(case.policies):
        workers.submit(Job("one", number, policy))
    outcomes = workers.wait()
    return outcomes, outcomes[0].worker


def ended(workers: Workers, outcomes: list[Outcome], jobs: int) -> list[Outcome]:
    while len(outcomes) < jobs:
        new = workers.wait(60)
        assert new, "jobs were lost"
        outcomes += new
    return outcomes


def check(outcomes: list[Outcome], case: Case, blameless: bool) -> None:
    """All have come out once, at most one of them, at least one, was not done, and the others have their scores."""
    assert sorted(outcome.job.number for outcome in outcomes) == list(range(len(case.policies)))
    assert [outcome.blameless for outcome in outcomes if outcome.died] == [blameless]
    for outcome in outcomes:
        assert outcome.died or outcome.score == case.scores[outcome.job.number]


def test_a_killed_worker_is_replaced(cluster: Cluster) -> None:
    case = make_case(0.4)
    with opened(cluster, case.work) as workers:
        outcomes, worker = under_way(workers, case)
        os.kill(int(worker.split(":")[1]), signal.SIGKILL)
        check(ended(workers, outcomes, len(case.policies)), case, blameless=False)


@pytest.mark.parametrize("graceful", [False, True])
def test_a_machine_that_goes_is_not_the_policys_fault(cluster: Cluster, graceful: bool) -> None:
    case = make_case(0.4)
    (node,) = cluster.worker_nodes
    with opened(cluster, case.work) as workers:
        outcomes, _ = under_way(workers, case)
        cluster.remove_node(node, allow_graceful=graceful)
        check(ended(workers, outcomes, len(case.policies)), case, blameless=True)
        add_node(cluster, 1)
        seen: set[str] = set()
        while len(seen) < 2:
            seen |= {outcome.worker for outcome in run(workers, [Job("two", n, case.policies[0]) for n in range(8)])}


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("Missing", TaskError, r"worker \S+ cannot evaluate: .*No such file.*/data/nowhere.npy.* on every node"),
        ("Crashing", SearchError, r"3 workers in a row ended before they could evaluate, the last on [\d.]+: it ended"),
    ],
)
def test_what_one_node_lacks_is_said_at_once(
    cluster: Cluster, name: str, kind: type[AutoMCError], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        opened(cluster, elsewhere(name))


def test_other_versions_are_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "versions", lambda: versions() | {"torch": "1.0"})
    with pytest.raises(ConfigError, match=r"worker \S+ has torch \S+, here 1\.0; install the same there"):
        opened(cluster, make_case().work)


def test_another_python_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.utils.compute_version_info", lambda: (ray.__version__, "3.9.0"))
    with pytest.raises(ConfigError, match=r"cannot connect to \S+: .*Version mismatch.* Python: 3\.9\.0"):
        opened(cluster, make_case().work)
    assert not ray.is_initialized()


def test_a_node_without_automc_is_named(tmp_path: Path) -> None:
    lacks = "import sys\nclass Finder:\n    def find_spec(self, name, *_):\n        if name == 'automc':\n"
    lacks += "            raise ModuleNotFoundError('not here')\nsys.meta_path.insert(0, Finder())\n"
    (tmp_path / "sitecustomize.py").write_text(lacks)
    with ray_cluster(1) as cluster:
        add_node(cluster, 1, PYTHONPATH=str(tmp_path))
        with pytest.raises(SearchError, match=r"the last on [\d.]+: ModuleNotFoundError: not here"):
            opened(cluster, make_case().work)


def test_memory_that_runs_out_on_a_machine_is_nobodys_score(cluster: Cluster) -> None:
    with opened(cluster, elsewhere("Small")) as workers, pytest.raises(MemoryError, match="worker"):
        run(workers, [Job("one", number, policy) for number, policy in enumerate(make_case().policies)])


def test_a_cluster_without_its_head_is_lost() -> None:
    with ray_cluster(2) as cluster:
        driver = start(cluster.address)
        head: Any = cluster.head_node
        head.kill_gcs_server()
        assert driver.stdout is not None
        assert "ClusterLost the Ray cluster" in driver.stdout.read()
        assert driver.wait() == 75


def test_a_wrong_token_is_refused() -> None:
    code = "import sys; from automc.campaigns.workers.head import check_head; check_head(sys.argv[1])"
    with ray_cluster(1) as cluster:
        for environment in ({"RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "disabled"}):
            run = subprocess.run(
                [sys.executable, "-c", code, cluster.address],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert "refuses this token; set RAY_AUTH_MODE=token" in run.stderr


def test_an_interrupted_driver_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    driver = start()
    there = psutil.Process(driver.pid).children(recursive=True)
    assert there
    driver.send_signal(signal.SIGINT)
    driver.communicate()
    _, alive = psutil.wait_procs(there, timeout=30)
    assert not alive
    assert not (tmp_path / ".ray").exists()  # Ray's place for tokens


def start(*arguments: str) -> subprocess.Popen[str]:
    """Starts a driver, and waits until its workers work."""
    environment = {name: value for name, value in os.environ.items() if arguments or not name.startswith("RAY_AUTH_")}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    assert ":" in driver.stdout.readline()
    return driver
