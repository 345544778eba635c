"""Jobs of a device: one is measured at a time, the others wait, and what nobody asks after is forgotten."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from automc.devices.child import run_in
from automc.devices.protocol import JobRequest, read_json
from automc.errors import RuntimeFailure, one_line

State = Literal["uploading", "waiting", "running", "done", "failed"]


class Problem(Exception):
    """What is answered instead of what was asked for.

    Args:
        status: of HTTP.
        code: for programs.
        message: one line for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, " ".join(message.split())[:500]


@dataclass(frozen=True)
class Limits:
    """What a workbench may use.

    Attributes:
        size: bytes of all files of a job.
        seconds: that a job may run.
        memory: bytes that its process may have.
        jobs: how many there may be, the running one among them.
        silence: seconds after which a job that nobody asks after is forgotten.
    """

    size: int
    seconds: float
    memory: int
    jobs: int
    silence: float


@dataclass
class Job:
    """One measurement.

    Attributes:
        name: by which the workbench asks for it.
        request: what is to be done.
        folder: where its files lie.
        state: where it stands.
        sizes: bytes of each file that has come.
        done: steps that were reported.
        answer: once it is done.
        problem: why it failed.
        heard: when its workbench was last heard of.
        process: its child, while it runs.
        dropped: whether it was cancelled.
        changed: set when the state changes, and replaced.
    """

    name: str
    request: JobRequest
    folder: Path
    state: State = "uploading"
    sizes: dict[str, int] = field(default_factory=dict)
    done: int = 0
    answer: Any = None
    problem: str = ""
    heard: float = field(default_factory=time.monotonic)
    process: subprocess.Popen[str] | None = None
    dropped: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.state in ("done", "failed")

    def move(self, state: State) -> None:
        """Changes the state, and tells who waits for that."""
        self.state = state
        self.changed.set()
        self.changed = asyncio.Event()

    def step(self) -> None:
        """Counts one step."""
        self.done += 1

    def started(self, process: subprocess.Popen[str]) -> None:
        """Remembers the child; kills it where the job was cancelled meanwhile."""
        self.process = process
        if self.dropped:
            process.kill()

    def drop(self) -> None:
        """Cancels the job."""
        self.dropped = True
        self.changed.set()
        if self.process is not None:
            self.process.kill()


class JobQueue:
    """All jobs of a device.

    Args:
        folder: where their files go.
        limits: what each may use.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.limits, self._folder = limits, folder
        self._jobs: dict[str, Job] = {}
        self._line: deque[Job] = deque()
        self._news = asyncio.Event()  # somebody joined the line

    def find(self, name: str) -> Job:
        """Returns a job, whose workbench has thereby been heard of; raises `Problem` where there is none."""
        job = self._jobs.get(name)
        if job is None:
            raise Problem(404, "unknown_job", "there is no such job; nobody sent it, or nobody asked after it")
        job.heard = time.monotonic()
        return job

    def make(self, name: str, request: JobRequest) -> Job:
        """Returns the job of this name, making it if need be; raises `Problem` when there are too many."""
        if name in self._jobs:
            return self.find(name)
        unfinished = sum(not job.over for job in self._jobs.values())
        if unfinished >= self.limits.jobs:
            raise Problem(503, "busy", f"it is busy: {unfinished} measurements run or wait, and no more may; try later")
        folder = self._folder / name
        folder.mkdir(parents=True)
        self._jobs[name] = Job(name, request, folder)
        return self._jobs[name]

    def complete(self, job: Job) -> None:
        """Lets a job wait for its turn."""
        job.move("waiting")
        self._line.append(job)
        self._news.set()

    def forget(self, job: Job) -> None:
        """Cancels a job and removes its files; those of a running one go with its child."""
        job.drop()
        if job in self._line:
            self._line.remove(job)
        if self._jobs.pop(job.name, None) is not None and job.state != "running":
            shutil.rmtree(job.folder, ignore_errors=True)

    def status(self, job: Job) -> dict[str, Any]:
        """Returns what a workbench is told of its job."""
        said: dict[str, Any] = {"state": job.state, "steps": job.done}
        if job.state == "waiting":
            said["before"] = self._line.index(job) + self.counts()["running"]
        return said | {"done": {"answer": job.answer}, "failed": {"message": job.problem}}.get(job.state, {})

    def counts(self) -> dict[str, int]:
        """Returns how many jobs are in each state that is not the last."""
        states = [job.state for job in self._jobs.values()]
        return {state: states.count(state) for state in ("uploading", "waiting", "running")}

    async def work(self) -> None:
        """Runs jobs, one at a time, for ever."""
        while True:
            while not self._line:
                self._news.clear()
                await self._news.wait()
            job = self._line.popleft()
            job.move("running")
            try:
                job.answer = await asyncio.to_thread(self._run, job)
                job.move("done")
            except RuntimeFailure as error:
                job.problem = str(error)
                job.move("failed")
            except Exception as error:  # no disk space, say: this job's end, not the server's
                job.problem = f"the device failed: {one_line(error)}"
                job.move("failed")
            finally:
                job.heard = time.monotonic()
                shutil.rmtree(job.folder, ignore_errors=True)

    async def watch(self) -> None:
        """Forgets jobs whose workbench has been silent for too long, for ever."""
        while True:
            await asyncio.sleep(min(1.0, self.limits.silence / 4))
            late = time.monotonic() - self.limits.silence
            for job in [job for job in self._jobs.values() if job.heard < late]:
                self.forget(job)

    def drop_all(self) -> None:
        """Cancels everything."""
        for job in list(self._jobs.values()):
            self.forget(job)

    def _run(self, job: Job) -> Any:
        asked = job.request
        request = asked.arguments | {
            "action": asked.action,
            "threads": asked.device.threads,
            "models": [str(job.folder / name) for name in asked.files[: asked.models]],
        }
        limits = self.limits
        run_in(job.folder, request, job.step, limits.memory, limits.seconds, job.started)
        try:
            return read_json((job.folder / "answer.json").read_bytes())
        except ValueError:
            raise RuntimeFailure("the runtime's answer has numbers that are not finite") from None
