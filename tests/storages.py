"""Campaigns in all kinds of storages, without a search: rows are made up, and other processes drive."""

from __future__ import annotations

import multiprocessing
import threading
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from automc.campaigns import SearchConfig
from automc.campaigns.campaign import Campaign
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.proxy import serve_proxy
from automc.campaigns.storage import Storage, sqlite_url
from automc.costs import Cost
from automc.devices import Timing
from automc.evaluation import Fidelity
from automc.search_spaces import Policy

KINDS = ("sqlite", "postgresql", "grpc")
CONFIG = SearchConfig(task="digits", budget=("macs<=50%",))
TIMING = Timing(us=2.0, low=1.0, high=3.0, ratio=0.5, ratio_low=0.4, ratio_high=0.6, runs=9, medians=(1.5, 2.5))
ABOUT = {"ahead": None, "seed": 0}

# children of a process that has nothing open: connections do not bear a fork
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["automc.campaigns.campaign", "tests.storages"])


def storage_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Returns the URL of a new storage of a kind; what serves it ends with the tests."""
    if kind == "postgresql":
        return str(request.getfixturevalue("postgres").database())
    url = sqlite_url(folder / "campaigns.db")
    return proxied(url) if kind == "grpc" else url


def proxied(url: str) -> str:
    """Serves a storage from a thread of this process, for as long as it lives; returns the proxy's URL."""
    ports: Queue[int] = Queue()
    threading.Thread(target=serve_proxy, args=(url, "127.0.0.1", 0, ports.put), daemon=True).start()
    return f"grpc://127.0.0.1:{ports.get(timeout=60)}"


def policy(number: int) -> Policy:
    return Policy.from_dict({"conv1": {"channels": number + 1}, "conv2": {"weight_bits": 8}})


def evaluated(number: int, agent: str = "random", failed: bool = False, extra: bool = False) -> Evaluated:
    return Evaluated(
        agent=agent,
        number=number,
        policy=policy(number),
        score=None if failed else number / 7,
        predicted=Cost(1, 2, 3, 4),
        seconds=0.5,
        extra=extra,
        error="ValueError: \x00 no 'score'" if failed else None,
        worker="host:1",
        seed=3,
        fidelity=Fidelity(),
        versions={"torch": "2"},
    )


def add(campaign: Campaign, done: Evaluated) -> None:
    """Begins and commits an evaluation."""
    campaign.journal.begin(done.agent, done.number, done.policy, done.extra)
    campaign.journal.commit(done)


def make(storage: Storage, name: str, **more: Any) -> Campaign:
    return Campaign.create(storage, name, CONFIG.model_copy(update=more), Path(), Path("out"))


def begun(storage: Storage, name: str, **more: Any) -> Campaign:
    """Returns a campaign that has begun, and that nobody drives."""
    campaign = make(storage, name, **more)
    campaign.begin(ABOUT, False, 10, 1)
    return campaign


def elsewhere(target: Any, *arguments: Any) -> tuple[BaseProcess, Any]:
    """Calls ``target(*arguments, tell)`` in another process; returns it, and what it told first."""
    here, there = _processes.Pipe()
    process = _processes.Process(target=target, args=(*arguments, there.send), daemon=True)
    process.start()
    there.close()
    assert here.poll(120), "the other process says nothing"
    return process, here.recv()


def drive(url: str, name: str, tell: Any) -> None:
    """Drives a campaign until it is killed; tells ``driving``, or why not."""
    try:
        Campaign(Storage(url), name).drive()
    except Exception as error:
        tell(f"{type(error).__name__}: {error}")
        return
    tell("driving")
    time.sleep(300)


def evaluate_soon(url: str, name: str, count: int, tell: Any) -> None:
    """Tells that it is there, and makes a campaign with so many evaluations."""
    storage = Storage(url)
    tell("there")
    campaign = begun(storage, name)
    for number in range(count):
        add(campaign, evaluated(number))
