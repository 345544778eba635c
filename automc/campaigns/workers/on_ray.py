"""Workers on a Ray cluster: an actor each."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from automc import progress
from automc.campaigns.config import Compute
from automc.campaigns.workers._base import Job, Outcome, Work, Workers
from automc.campaigns.workers.actor import MUST_AGREE, Place, Prepared, Worker
from automc.campaigns.workers.cluster import Connection  # before Ray, which reads what it sets
from automc.campaigns.workers.shared import Shared  # isort: split

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from automc.errors import ConfigError, SearchError, TaskError, one_line
from automc.versions import versions

_GLANCE = 0.5  # seconds of one wait within Ray, which sees nothing else meanwhile
_PATIENCE = 10.0  # seconds without news after which people are told what is waited for
_FAILURES = 3  # workers in a row that may end before they have evaluated anything
_SHORT = 0.5  # seconds: for shorter evaluations the way to a worker counts, so each has its next one there already
_ENDINGS = {"NODE_OUT_OF_MEMORY": "Ray killed it: its machine was running out of memory"}


@dataclass
class _Actor:
    """A worker as the driver sees it: where it is, how far, and what it was given."""

    handle: Any
    coming: Any  # its answer to the question where it is, then whether it is prepared; None after that
    since: float  # when its last news came
    place: Place | None = None
    score: float | None = None
    jobs: deque[tuple[Any, Job]] = field(default_factory=deque)

    @property
    def ready(self) -> bool:
        return self.coming is None

    @property
    def name(self) -> str:
        return self.place.worker if self.place else "a worker that had not begun"


class RayWorkers(Workers):
    """Evaluates in actors on a Ray cluster, which load the task themselves and get the network once.

    Args:
        compute: which cluster, how many workers and what each has.
        work: what they evaluate; task and data must be there on every machine, at the same place.

    Raises:
        ConfigError: there is no such cluster or no room in it, or a worker has other versions.
        TaskError: the network cannot be sent, or a worker cannot load the task or score the network.
        ClusterLost: the cluster went meanwhile.
    """

    def __init__(self, compute: Compute, work: Work) -> None:
        self.size = compute.workers
        self._jobs: deque[Job] = deque()
        self._actors: list[_Actor] = []
        self._failures, self._score, self._seconds = 0, None, _SHORT
        self._told = False
        self._cluster = Connection(compute)
        try:
            env = {"OMP_NUM_THREADS": str(compute.cpus), "OMP_WAIT_POLICY": "PASSIVE"}
            self._class = ray.remote(Worker).options(  # type: ignore[attr-defined]
                num_cpus=compute.cpus,
                num_gpus=compute.gpus,
                max_restarts=0,  # a death is to be seen
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": env},
            )
            self._threads = compute.cpus
            try:
                self._shared = ray.put(Shared(work))
            except (TypeError, ValueError) as error:
                raise TaskError(f"the task's model cannot be sent to other processes: {one_line(error)}") from error
            self._actors = [self._hire() for _ in range(self.size)]
            self._gather()
        except BaseException:
            self.close()
            raise

    def submit(self, job: Job) -> None:
        """Takes one more job."""
        self._jobs.append(job)

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Returns what has ended, once something has; see `Workers.wait`.

        Raises:
            ClusterLost: the cluster is gone.
            SearchError: worker after worker ends before it evaluates anything.
            OSError, MemoryError: a worker's machine is out of disk space or memory.
        """
        end = None if seconds is None else time.monotonic() + seconds
        outcomes: list[Outcome] = []
        while self._jobs or any(actor.jobs for actor in self._actors):
            self._supply()
            left = _GLANCE if end is None else min(_GLANCE, end - time.monotonic())
            outcomes = self._look(max(left, 0.0))
            if outcomes or (end is not None and time.monotonic() >= end):
                break
        return outcomes

    def close(self) -> None:
        """Ends the workers; jobs under way are given up."""
        for actor in self._actors:
            ray.kill(actor.handle)
        self._actors.clear()
        self._jobs.clear()
        self._cluster.close()

    def _hire(self) -> _Actor:
        handle = self._class.remote(self._threads)
        return _Actor(handle, handle.where.remote(), time.monotonic())

    def _gather(self) -> None:
        """Waits until there are workers: all, or those there is room for now; the others come when there is more."""
        while not all(actor.ready for actor in self._actors):
            self._look(_GLANCE, strict=True)
            begun = [actor for actor in self._actors if actor.place]
            quiet = time.monotonic() - max(actor.since for actor in self._actors) > _PATIENCE
            if quiet and begun and all(actor.ready for actor in begun):
                return

    def _supply(self) -> None:
        """Gives jobs to workers that have none, and where evaluations are short to those that have one."""
        for depth in (0, 1) if self._seconds < _SHORT else (0,):
            for actor in self._actors:
                if not self._jobs:
                    return
                if actor.ready and len(actor.jobs) == depth:
                    job = self._jobs.popleft()
                    if not depth:
                        actor.since = time.monotonic()
                    actor.jobs.append((actor.handle.evaluate.remote(job), job))

    def _look(self, seconds: float, strict: bool = False) -> list[Outcome]:
        """Waits a moment, and takes what has come.

        Args:
            seconds: how long.
            strict: whether a worker that cannot evaluate ends it all at once: nothing has begun yet.
        """
        self._cluster.check()
        self._tell()
        owners = {ref: actor for actor in self._actors for ref in _refs(actor)}
        ready, _ = ray.wait(list(owners), timeout=seconds)
        if ready and len(owners) > 1:
            ready, _ = ray.wait(list(owners), num_returns=len(owners), timeout=0)
        outcomes: list[Outcome] = []
        for actor in {id(owners[ref]): owners[ref] for ref in ready}.values():
            try:
                if actor.ready:
                    self._collect(actor, set(ready), outcomes)
                else:
                    self._welcome(actor, strict)
            except RayActorError as error:
                self._bury(actor, str(error), outcomes, strict)
        return outcomes

    def _collect(self, actor: _Actor, ready: set[Any], outcomes: list[Outcome]) -> None:
        """Takes what a worker has done, in order."""
        while actor.jobs and actor.jobs[0][0] in ready:
            outcome = _result(actor.jobs[0][0])
            actor.jobs.popleft()
            actor.since = time.monotonic()
            self._failures = 0
            self._seconds = 0.8 * self._seconds + 0.2 * outcome.seconds
            outcomes.append(outcome)
        for ref, _ in actor.jobs:
            if ref in ready:  # out of turn: its process has ended
                _result(ref)

    def _welcome(self, actor: _Actor, strict: bool) -> None:
        """Takes a new worker's answer: where it is, or whether it can evaluate."""
        answer = _result(actor.coming)
        actor.since = time.monotonic()
        if isinstance(answer, Place):
            actor.place = answer
            ours = versions()
            other = [name for name in MUST_AGREE if answer.versions.get(name) != ours[name]]
            problem = "; ".join(f"{name} {answer.versions.get(name)}, here {ours[name]}" for name in other)
            if problem:
                self._refuse(actor, ConfigError(f"worker {actor.name} has {problem}; install the same there"), strict)
            else:
                actor.coming = actor.handle.prepare.remote(self._shared)
            return
        assert isinstance(answer, Prepared)
        if answer.problem is not None:
            hint = "task and data must be at the same place on every node"
            self._refuse(actor, TaskError(f"worker {actor.name} cannot evaluate: {answer.problem}; {hint}"), strict)
            return
        self._score = answer.score if self._score is None else self._score
        if answer.score != self._score:
            progress.say(
                f"Worker {actor.name} scores the original {answer.score}, another did {self._score}: "
                "its data, or its processor, is another"
            )
        actor.coming = None

    def _refuse(self, actor: _Actor, error: ConfigError | TaskError, strict: bool) -> None:
        self._failures += 1
        if strict or self._failures >= _FAILURES:
            raise error
        progress.say(f"{error}; another takes its place")
        ray.kill(actor.handle)
        self._replace(actor)

    def _bury(self, actor: _Actor, text: str, outcomes: list[Outcome], strict: bool) -> None:
        """Takes what a worker had done before it died, blames what it was doing, and lets another take its place."""
        outcome = None
        while actor.jobs and outcome is None:
            ref, job = actor.jobs.popleft()
            ray.wait([ref], timeout=_PATIENCE)  # after a death all answers come, as errors
            try:
                outcomes.append(ray.get(ref, timeout=0))
                actor.since = time.monotonic()
            except RayError:
                gone = actor.place is not None and (
                    "node has died" in text or not self._cluster.there(actor.place.node)
                )
                why = f"worker {actor.name} {'is gone with its machine' if gone else _ending(text)}"
                seconds, place = time.monotonic() - actor.since, actor.place
                outcome = Outcome(job, None, seconds, actor.name, place.versions if place else {}, why, True, gone)
                outcomes.append(outcome)
        self._jobs.extendleft(job for _, job in reversed(actor.jobs))  # they had not begun
        ray.kill(actor.handle)  # where only the way to it is broken
        if not actor.ready:
            self._failures += 1
            if self._failures >= _FAILURES:
                self._cluster.check()
                raise SearchError(
                    f"{self._failures} workers in a row ended before they could evaluate: {_reason(text)}"
                )
        self._replace(actor)

    def _replace(self, actor: _Actor) -> None:
        self._actors[self._actors.index(actor)] = self._hire()

    def _tell(self) -> None:
        """Says once that workers wait for room, while they do."""
        late = [a for a in self._actors if a.place is None and time.monotonic() - a.since > _PATIENCE]
        if late and not self._told:
            progress.say(
                f"{len(late)} of {self.size} workers wait for room on the cluster; they join when there is some"
            )
        self._told = bool(late)


def _refs(actor: _Actor) -> Iterable[Any]:
    return (ref for ref, _ in actor.jobs) if actor.ready else (actor.coming,)


def _result(ref: Any) -> Any:
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause from None


def _ending(text: str) -> str:
    """Returns how a worker's process ended, from what Ray says about it."""
    kind = re.search(r"exit type: (\w+)", text)
    return _ENDINGS.get(kind[1] if kind else "", "ended by itself or was killed")


def _reason(text: str) -> str:
    """Returns the line of an error of Ray's that says most: the last of a traceback, or else the kind of ending."""
    errors = re.findall(r"^\w*(?:Error|Exception): .*$", text, re.MULTILINE)
    return errors[-1] if errors else f"each {_ending(text)}"
