"""A search as TensorBoard shows it: event files, one folder for each agent, appended to while it runs."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from automc.agents import Problem
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.result import Learned

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

FOLDER = "tensorboard"

_HEADER, _FOOTER = struct.Struct("<QI"), 4  # a record's length with its checksum; the checksum of what is between


class EventLog:
    """An agent's evaluations as events: each is one record, so that it is there whole or not at all.

    Its step is the evaluation's number. Scalars: ``score`` and ``best`` so far, ``predicted/<metric>``,
    ``learning/<reward or figure>``, and what was chosen for each unit: ``channels/<unit>`` as share of the original's,
    ``weight_bits/<unit>``, ``activation_bits/<unit>``, ``keep/<unit>``; nothing inside dropped blocks.

    Files of another search, or with more than the journal has, are of an earlier search and deleted.

    Args:
        folder: of this agent's event files. A file is begun with the first event that is new.
        search: what tells this search from all others.
        problem: what is searched.
        evaluations: what the journal has of this agent; what the files lack of it is added.
        lessons: what the agent took from its evaluations, by their numbers; looked at when one is added.
    """

    def __init__(
        self,
        folder: Path,
        search: str,
        problem: Problem,
        evaluations: Sequence[Evaluated],
        lessons: Mapping[int, Learned],
    ) -> None:
        self._folder, self._suffix = folder, f".{search[:12]}"
        self._space, self._lessons = problem.space, lessons
        self._better = max if problem.higher_is_better else min
        self._writer: EventsWriter | None = None
        self._best: float | None = None
        self._there = {step for path in self._files() for step, _ in read_events(path)}
        if not self._there <= {done.number for done in evaluations}:
            for path in self._files():
                path.unlink()
            self._there = set()
        for done in evaluations:
            self.write(done)

    def write(self, done: Evaluated) -> None:
        """Adds an evaluation, unless it is there."""
        if done.score is not None:
            self._best = done.score if self._best is None else self._better(self._best, done.score)
        if done.number in self._there:
            return
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in self._scalars(done).items()]
        writer = self._open()
        writer.write_event(Event(wall_time=time.time(), step=done.number, summary=Summary(value=values)))
        writer.flush()
        self._there.add(done.number)

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _scalars(self, done: Evaluated) -> dict[str, float]:
        predicted = {f"predicted/{metric}": value for metric, value in vars(done.predicted).items()}
        scalars: dict[str, float | None] = {"score": done.score, "best": self._best, **predicted}
        if (lesson := self._lessons.get(done.number)) is not None:
            scalars |= {"learning/reward": lesson.reward}
            scalars |= {f"learning/{name}": value for name, value in lesson.figures.items()}
        return {tag: value for tag, value in (scalars | self._choices(done)).items() if value is not None}

    def _choices(self, done: Evaluated) -> dict[str, float]:
        policy, axes, chosen = done.policy, self._space.axes, dict[str, float]()
        for axis, owner in zip(axes, self._space.owners, strict=True):
            if owner >= 0 and policy[axes[owner].unit].keep is False:
                continue
            option = axis.chosen(policy[axis.unit])
            if axis.field == "bits":
                chosen |= {f"weight_bits/{axis.unit}": option[0], f"activation_bits/{axis.unit}": option[1]}
            else:
                chosen[f"{axis.field}/{axis.unit}"] = option / axis.options[-1]
        return chosen

    def _files(self) -> list[Path]:
        """Returns this search's event files, those of other searches being deleted."""
        files = sorted(self._folder.glob("events.out.tfevents.*"))
        for path in files:
            if self._suffix not in path.name:
                path.unlink()
        return [path for path in files if self._suffix in path.name]

    def _open(self) -> EventsWriter:
        if self._writer is None:
            from tensorboardX.event_file_writer import EventsWriter

            self._folder.mkdir(parents=True, exist_ok=True)
            # names have the time in seconds, and a file that is there would be begun anew
            self._writer = EventsWriter(str(self._folder / "events"), f"{self._suffix}.{len(self._files())}")
        return self._writer


def read_events(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Yields step and scalars of each event of a file, up to the first that is not whole: a kill may leave one."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event

    data, at = path.read_bytes(), 0
    while at + _HEADER.size <= len(data):
        start = at + _HEADER.size
        end = start + _HEADER.unpack_from(data, at)[0]
        at = end + _FOOTER
        if at > len(data):
            return
        try:
            event = Event.FromString(data[start:end])
        except DecodeError:
            return
        if event.HasField("summary"):
            yield event.step, {value.tag: value.simple_value for value in event.summary.value}
