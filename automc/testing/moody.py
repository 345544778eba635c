"""A task on a small untrained network that can be told for which networks its score fails, or ends the process."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automc.tasks import Batch, Split, Task


class Chain(nn.Module):
    """A few convolutions, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in itertools.pairwise((1, 16, 16, 16)))
        self.linear = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (B, 4) of images (B, 1, H, W)."""
        for conv in self.convs:
            x = torch.relu(conv(x))
        return self.linear(x.mean((2, 3)))


class Moody(Task):
    """Scores networks by how near they are to the original, which differs for all policies.

    Args:
        fails: scores that are errors instead.
        kills: scores that end the process instead, as a crash would.
        seconds: that each score takes, but the original's.
    """

    metric = "agreement"

    def __init__(self, fails: Sequence[float] = (), kills: Sequence[float] = (), seconds: float = 0.0) -> None:
        self.fails, self.kills, self.seconds = fails, kills, seconds

    def model(self) -> nn.Module:
        """Returns the network."""
        torch.manual_seed(0)
        return Chain().eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        """Yields noise, and what the network makes of it."""
        images = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(len(split)))[:n]
        with torch.no_grad():
            yield images, self.model()(images)

    def score(self, outputs: Any, targets: Any) -> float:
        """Returns the agreement, in (0, 1]."""
        score = math.exp(-4e3 * (outputs - targets).square().mean().item())
        if score in self.fails:
            raise ValueError("no score\nfor this")
        if score in self.kills:
            os._exit(1)
        if score < 1.0:
            time.sleep(self.seconds)
        return score
