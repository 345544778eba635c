"""A worker on a Ray cluster as the driver sees it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayTaskError

from automc.campaigns.workers._base import Job
from automc.campaigns.workers.actor import Place

_ENDINGS = {"NODE_OUT_OF_MEMORY": "Ray killed it: its machine was running out of memory"}


@dataclass(eq=False)
class Employed:
    """Where a worker is, how far, and what it was given.

    Attributes:
        handle: of its actor.
        coming: its answer to where it is, then to whether it can evaluate; None once it can.
        since: when its last news came, a time of `time.monotonic`.
        place: where it is, once that is known.
        failures: how many before it ended before they could evaluate.
        jobs: what it was given, in order: what runs, and what is next.
    """

    handle: Any
    coming: Any
    since: float
    place: Place | None = None
    failures: int = 0
    jobs: deque[tuple[Any, Job]] = field(default_factory=deque)

    @property
    def ready(self) -> bool:
        """Whether it can evaluate."""
        return self.coming is None

    @property
    def name(self) -> str:
        """Who it is, for people."""
        return self.place.worker if self.place else "that has not begun"

    @property
    def awaited(self) -> Iterable[Any]:
        """What it is to answer."""
        return [ref for ref, _ in self.jobs] if self.ready else [self.coming]


def answer(ref: Any) -> Any:
    """Returns what an actor answered, or raises what it raised."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise (error.cause or error) from None


def ending(text: str) -> str:
    """Returns how a worker's process ended, from what Ray says about it."""
    kind = re.search(r"exit type: (\w+)", text)
    return _ENDINGS.get(kind[1] if kind else "", "ended by itself or was killed")


def reason(text: str) -> str:
    """Returns what says most in an error of Ray's: where, and the last line of a traceback or the kind of ending."""
    where = re.search(r"\bip[=:]\s?([\w.:]*\w)", text)
    errors = re.findall(r"^\w*(?:Error|Exception): .*$", text, re.MULTILINE)
    why = errors[-1] if errors else f"it {ending(text)}"
    return f"on {where[1]}: {why}" if where else why
