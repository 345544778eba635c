"""Workers on a Ray cluster: an actor each."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from automc import progress
from automc.campaigns.config import Compute
from automc.campaigns.workers._base import Job, Outcome, Work, Workers
from automc.campaigns.workers.actor import MUST_AGREE, Place, Prepared, Worker
from automc.campaigns.workers.cluster import Connection, runtime_env
from automc.campaigns.workers.employed import Employed, answer, ending, reason
from automc.campaigns.workers.shared import Shared
from automc.errors import AutoMCError, ClusterLost, ConfigError, SearchError, TaskError, one_line
from automc.versions import versions

_GLANCE = 0.5  # seconds of one wait within Ray, which sees nothing else meanwhile
_PATIENCE = 10.0  # seconds without news after which people are told what is waited for
_FAILURES = 3  # workers in a row that may end before they have evaluated anything
_SHORT = 0.5  # seconds: for shorter evaluations the way to a worker counts, so each has its next one there already


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
        self._actors: list[Employed] = []
        self._score: float | None = None  # of the original
        self._seconds = _SHORT  # that evaluations take
        self._told = False
        self._cluster = Connection(compute)
        try:
            # Ray types what its decorator makes as the class that it was given
            self._class: Any = ray.remote(Worker).options(  # type: ignore[attr-defined]  # Ray types no options
                num_cpus=compute.cpus,
                num_gpus=compute.gpus,
                max_restarts=0,  # a death is to be seen
                scheduling_strategy="SPREAD",
                runtime_env=runtime_env(compute),
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

    def _hire(self, failures: int = 0) -> Employed:
        handle = self._class.remote(self._threads)
        return Employed(handle, handle.where.remote(), time.monotonic(), failures=failures)

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
        owners = {ref: actor for actor in self._actors for ref in actor.awaited}
        ready, _ = ray.wait(list(owners), timeout=seconds)
        if ready and len(owners) > 1:
            ready, _ = ray.wait(list(owners), num_returns=len(owners), timeout=0)
        outcomes: list[Outcome] = []
        for actor in dict.fromkeys(owners[ref] for ref in ready):
            try:
                if actor.ready:
                    self._collect(actor, set(ready), outcomes)
                else:
                    self._welcome(actor, strict)
            except RayActorError as error:
                self._bury(actor, str(error), outcomes, strict)
            except RayError as error:
                raise ClusterLost(f"the Ray cluster at {self._cluster.address} is gone: {one_line(error)}") from error
        return outcomes

    def _collect(self, actor: Employed, ready: set[Any], outcomes: list[Outcome]) -> None:
        """Takes what a worker has done, in order."""
        while actor.jobs and actor.jobs[0][0] in ready:
            outcome = answer(actor.jobs[0][0])
            actor.jobs.popleft()
            actor.since = time.monotonic()
            actor.failures = 0
            self._seconds = 0.8 * self._seconds + 0.2 * outcome.seconds
            outcomes.append(outcome)
        for ref, _ in actor.jobs:
            if ref in ready:  # out of turn: its process has ended
                answer(ref)

    def _welcome(self, actor: Employed, strict: bool) -> None:
        """Takes a new worker's answer: where it is, or whether it can evaluate."""
        said = answer(actor.coming)
        actor.since = time.monotonic()
        if isinstance(said, Place):
            actor.place = said
            ours = versions()
            other = [name for name in MUST_AGREE if said.versions.get(name) != ours[name]]
            problem = "; ".join(f"{name} {said.versions.get(name)}, here {ours[name]}" for name in other)
            if problem:
                self._give_up(actor, ConfigError(f"worker {actor.name} has {problem}; install the same there"), strict)
            else:
                actor.coming = actor.handle.prepare.remote(self._shared)
            return
        assert isinstance(said, Prepared)
        if said.problem is not None:
            why = f"{said.problem}; task and data must be there on every node, at the same place"
            self._give_up(actor, TaskError(f"worker {actor.name} cannot evaluate: {why}"), strict)
            return
        self._score = said.score if self._score is None else self._score
        if said.score != self._score:
            progress.say(
                f"Worker {actor.name} scores the original {said.score}, another did {self._score}: "
                "its data, or its processor, is another"
            )
        actor.coming = None

    def _give_up(self, actor: Employed, error: AutoMCError, strict: bool) -> None:
        """Goes on without a worker that cannot evaluate, if there are others and work has begun."""
        ray.kill(actor.handle)
        self._actors.remove(actor)
        if strict or not self._actors:
            raise error
        progress.say(f"{error}. The search goes on with {len(self._actors)} workers")

    def _bury(self, actor: Employed, text: str, outcomes: list[Outcome], strict: bool) -> None:
        """Takes what a worker had done before it died, blames what it was doing, and lets another take its place."""
        place, blamed = actor.place, False
        gone = place is not None and ("node has died" in text or not self._cluster.there(place.node))
        while actor.jobs and not blamed:
            ref, job = actor.jobs.popleft()
            ray.wait([ref], timeout=_PATIENCE)  # after a death all answers come, as errors
            try:
                outcomes.append(ray.get(ref, timeout=0))
                actor.since, actor.failures = time.monotonic(), 0
            except RayError:
                blamed = True
                why = f"worker {actor.name} {'is gone with its machine' if gone else ending(text)}"
                seconds, known = time.monotonic() - actor.since, place.versions if place else {}
                outcomes.append(Outcome(job, None, seconds, actor.name, known, error=why, died=True, blameless=gone))
        self._jobs.extendleft(job for _, job in reversed(actor.jobs))  # they had not begun
        failures = actor.failures + (not actor.ready and not gone)
        if failures == _FAILURES:
            self._cluster.check()
            why = f"{failures} workers in a row ended before they could evaluate, the last {reason(text)}"
            self._give_up(actor, SearchError(why), strict)
            return
        ray.kill(actor.handle)  # where only the way to it is broken
        self._actors[self._actors.index(actor)] = self._hire(failures)

    def _tell(self) -> None:
        """Says once that workers wait for room, while they do."""
        late = [a for a in self._actors if a.place is None and time.monotonic() - a.since > _PATIENCE]
        if late and not self._told:
            progress.say(
                f"{len(late)} of {self.size} workers have not begun: Ray starts them, or has no room for them yet"
            )
        self._told = bool(late)
