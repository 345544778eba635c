"""Tasks whose evaluations go wrong, on a network that needs no training; used as ``failing.py:Sometimes`` and so on.

What goes wrong is told by environment variables where a search that is resumed must have the same configuration:

- ``FAILING_AT=3,5:memory``: at scorings 3 and 5 (0 is the original's) memory runs out; so for the others of `TROUBLES`;
- ``FAILING_LOG``: a file that gets a line for every scoring of a policy that has begun.
"""

import itertools
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from automc.tasks import Batch, Split, Task

FILLER = "filler"


def fill(folder: Path) -> None:
    """Leaves no byte free on the file system of a folder."""
    with (folder / FILLER).open("ab", buffering=0) as file:
        for size in (4096, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break


def _raise(error: BaseException) -> None:
    raise error


TROUBLES = {
    "error": lambda: _raise(RuntimeError("two\nlines")),
    "memory": lambda: _raise(MemoryError()),
    "wait": lambda: time.sleep(300),
    "fill": lambda: fill(Path(os.environ["FAILING_FOLDER"])),
}


class Chain(nn.Module):
    """A few convolutions, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 16, 16, 16)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in itertools.pairwise(widths))
        self.linear = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = torch.relu(conv(x))
        return self.linear(x.mean((2, 3)))


class Never(Task):
    """Scored by how near outputs are to what the original puts out, which differs for all policies."""

    metric = "agreement"

    def __init__(self) -> None:
        self.scorings = 0
        self.split: Split = "train"

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return Chain().eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        self.split = split
        if split == "test" and n is None and os.environ.get("FAILING_AT") == "test:fill":
            TROUBLES["fill"]()
        generator = torch.Generator().manual_seed(len(split))
        images = torch.randn(64, 1, 8, 8, generator=generator)[:n]
        with torch.no_grad():
            yield images, self.model()(images)

    def score(self, outputs: Any, targets: Any) -> float:
        score = math.exp(-4e5 * (outputs - targets).square().mean().item())
        if self.split != "search":
            return score
        number, self.scorings = self.scorings, self.scorings + 1
        if (log := os.environ.get("FAILING_LOG")) is not None and number > 0:
            with Path(log).open("a") as file:
                file.write(f"{number}\n")
        at, _, trouble = os.environ.get("FAILING_AT", "").partition(":")
        if str(number) in at.split(","):
            TROUBLES[trouble]()
        return score if number == 0 else self.judged(score)

    def judged(self, score: float) -> float:
        return score


class Slow(Never):
    """Takes some tenths of a second."""

    def judged(self, score: float) -> float:
        time.sleep(float(os.environ.get("FAILING_SLOW", "0.3")))
        return score


class Sometimes(Never):
    """Fails for about half of all policies, always for the same ones."""

    def judged(self, score: float) -> float:
        remainder = int(score * 1e4) % 4
        if remainder == 1:
            raise ValueError("no score\nfor this")
        return math.nan if remainder == 3 else score


class Always(Never):
    """Scores the original only."""

    def judged(self, score: float) -> float:
        raise ValueError("no score\nfor this")


class Unexportable(Chain):
    """Cannot be exported with the widths of the first policy exported."""

    banned: tuple[int, ...] | None = None

    def forward(self, x: Tensor) -> Tensor:
        widths = tuple(conv.out_channels for conv in self.convs if isinstance(conv, nn.Conv2d))
        if torch.compiler.is_exporting() and set(widths) != {16}:
            Unexportable.banned = Unexportable.banned or widths
            if widths == Unexportable.banned:
                raise ValueError("not to be exported")
        return super().forward(x)


class NotExported(Never):
    """Has finalists that cannot be exported."""

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return Unexportable().eval()
