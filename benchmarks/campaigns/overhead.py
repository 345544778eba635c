"""What a search costs beside its evaluations: proposing, pricing, committing, learning, with workers that do nothing.

A chain of 81 convolutions, 81 choices of width, priced by MACs. Every agent searches by itself, in a campaign of its
own, with 200 evaluations that take no time; the figure is wall time for each, its rows in the database included. Agents
that learn by reinforcement train at every evaluation; their own time (propose and learn) is told apart.

    python benchmarks/campaigns/overhead.py [--storage URL] [--evaluations N] [AGENT ...]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor, nn

from automc.agents import Agent
from automc.campaigns import SearchConfig, set_up
from automc.campaigns.campaign import Campaign
from automc.campaigns.search import Search
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.workers import Job, Outcome, Workers
from automc.tasks import Batch, Split, Task

LAYERS = 81


class Chain81(Task):
    """A chain of convolutions that nobody trained."""

    metric = "nothing"

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        convs = [layer for _ in range(LAYERS) for layer in (nn.Conv2d(8, 8, 1), nn.ReLU())]
        return nn.Sequential(nn.Conv2d(1, 8, 1), *convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)).eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        yield torch.ones(2, 1, 4, 4)[:n], torch.zeros(2)[:n]

    def score(self, outputs: Any, targets: Any) -> float:
        return 0.0

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        return outputs.sum()


class Idle(Workers):
    """Workers that give a score at once."""

    size = 1
    local = True

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        job = self._jobs.popleft()
        return [Outcome(job, (hash(job.policy) % 1000) / 1000, 0.0, "nobody")]


class Timed:
    """Adds up the time that an agent's own methods take."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for name in ("propose", "learn"):
            self._wrap(name)

    def _wrap(self, name: str) -> None:
        original = getattr(Agent, name)

        def timed(agent: Agent, *arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(agent, *arguments)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(Agent, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("agents", nargs="*", metavar="AGENT", help="by default some")
    parser.add_argument("--storage", help="URL; by default a file of SQLite")
    parser.add_argument("--evaluations", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    timed = Timed()
    print(f"{'agent':<10} {'ms an evaluation':>17} {'of which the agent':>19} {'rest':>6}")
    with tempfile.TemporaryDirectory() as name:
        os.environ["AUTOMC_HOME"] = name
        for agent in arguments.agents or ["random", "tpe", "amc", "ddpg", "ppo"]:
            config = SearchConfig(
                task=f"{Path(__file__).resolve()}:Chain81",
                agent=agent,
                budget=("macs<=50%",),
                evaluations=arguments.evaluations,
                space={"depth": False, "bits": [], "channel_multiple": 1},
                device={"target": "bismo-cloud"},
            )
            setup = set_up(config, Path(name))
            storage = Storage(arguments.storage or sqlite_url(Path(name) / f"{agent}.db"))
            campaign = Campaign.create(storage, f"{agent}-{os.getpid()}", config, Path(name), Path(name) / agent)
            campaign.begin({"ahead": None}, resume=False, total=arguments.evaluations, ahead=1)
            search = Search(config, setup, campaign.journal, Path(name) / agent, campaign.digest)
            search.agents = (agent,)
            timed.seconds, start = 0.0, time.perf_counter()
            search.run(Idle())
            whole = 1e3 * (time.perf_counter() - start) / len(search.evaluations)
            own = 1e3 * timed.seconds / len(search.evaluations)
            print(f"{agent:<10} {whole:>17.1f} {own:>19.1f} {whole - own:>6.1f}", flush=True)
            campaign.delete()
            storage.close()


if __name__ == "__main__":
    main()
