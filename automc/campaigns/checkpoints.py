"""What an agent has learned, noted now and then, so that a resumed search need not teach it all again.

The journal is the truth: a checkpoint counts only where it is of this very search and of its first evaluations.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from automc import files, progress
from automc.agents import Agent
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.result import Learned
from automc.errors import lacking, one_line

FOLDER = "checkpoints"
"""Where a search notes what it can go on from, until it has ended."""

_VERSION = "2"
_EVALUATIONS, _SECONDS = 10, 60.0  # written as soon as so many were learned, or so much time has passed


class Memory:
    """What one agent has learned, in memory and on disk; agents without a state have no file.

    The file is safetensors. Its metadata has the agent's name, the number of evaluations learned, the version of this
    form, and a digest of the search and of each policy and score, in the order in which they were learned.

    Args:
        make: makes the agent as it is before it learns anything.
        name: of the agent.
        folder: where its file goes.
        search: what tells this search from all others.
        evaluations: the agent's first evaluations, in order. It skips their proposals and learns them all: those that
            its file has by restoring its state, the others by being told.

    Attributes:
        name: of the agent.
        agent: the agent itself.
        restored: how many evaluations its file had.
        lessons: what the agent took from its evaluations, by their numbers.
    """

    def __init__(
        self, make: Callable[[], Agent], name: str, folder: Path, search: str, evaluations: Sequence[Evaluated]
    ) -> None:
        self.name, self._path = name, folder / f"{name}.safetensors"
        self._digest = hashlib.sha256(f"{_VERSION} {name} {search}".encode())
        self._learned = self._written = 0
        self.lessons: dict[int, Learned] = {}
        self._written_at = time.monotonic()
        self.agent, self.restored = self._restore(make, evaluations)
        for done in evaluations:
            self.agent.skip(done.policy)
        for done in evaluations[: self.restored]:
            self.agent.note(done.policy, done.score)
            self._count(done)
        self._written = self._learned
        for done in evaluations[self.restored :]:
            self.learn(done)

    def learn(self, done: Evaluated) -> None:
        """Tells the agent one more evaluation, and writes its state if that is due."""
        self.agent.learn(done.policy, done.score, done.change)
        self._count(done)
        late = time.monotonic() - self._written_at >= _SECONDS
        if late or self._learned - self._written >= _EVALUATIONS:
            self.write()

    def write(self) -> None:
        """Writes the agent's state, if it has one and learned anything since the last time; not while it learns."""
        if self._learned == self._written:
            return
        state = {key: np.asarray(values, order="C") for key, values in self.agent.state().items()}
        if state:
            about = {"version": _VERSION, "agent": self.name, "learned": str(self._learned), "digest": self._hex}
            with files.replacing(self._path) as temporary:
                save_file(state, temporary, about)
        self._written, self._written_at = self._learned, time.monotonic()

    def _restore(self, make: Callable[[], Agent], evaluations: Sequence[Evaluated]) -> tuple[Agent, int]:
        agent = make()
        if not self._path.exists():
            return agent, 0
        try:
            with safe_open(self._path, "numpy") as file:
                about = file.metadata()
                learned = int(about["learned"])
                digest = self._digest.copy()
                for done in evaluations[:learned]:
                    digest.update(_line(done))
                if about["digest"] != digest.hexdigest():
                    return agent, 0
                agent.restore({key: np.array(file.get_tensor(key)) for key in file.keys()})  # noqa: SIM118 - it is no dict
            return agent, learned
        except Exception as error:  # whatever is wrong with it, the journal has all that it had
            if lacking(error):
                raise
            progress.say(f"{self._path}: damaged ({one_line(error)}); {self.name} learns again from the journal")
            return make(), 0

    def _count(self, done: Evaluated) -> None:
        self._digest.update(_line(done))
        self._learned += 1
        for lesson in self.agent.lessons[len(self.lessons) :][:1]:  # none of what failed
            if lesson.policy == done.policy:
                figures = {name: value for name, value in lesson.figures.items() if math.isfinite(value)}
                self.lessons[done.number] = Learned(number=done.number, reward=lesson.reward, figures=figures)

    @property
    def _hex(self) -> str:
        return self._digest.hexdigest()


def _line(done: Evaluated) -> bytes:
    return json.dumps([done.policy.to_dict(), done.score], sort_keys=True).encode()
