"""Tasks that cannot be loaded in a process with ``ELSEWHERE`` in its environment; used as ``elsewhere.py:Missing``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from automc.tasks import Batch, Split
from automc.testing.moody import Moody


class Missing(Moody):
    """Its data is not there."""

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        if "ELSEWHERE" in os.environ:
            Path("/data/nowhere.npy").read_bytes()
        return super().batches(split, n, seed)


class Crashing(Moody):
    """Ends the process."""

    def __init__(self) -> None:
        super().__init__()
        if "ELSEWHERE" in os.environ:
            os._exit(1)


class Small(Moody):
    """Memory runs out at the score of any network but the original."""

    def score(self, outputs: object, targets: object) -> float:
        score = super().score(outputs, targets)
        if score < 1.0 and "ELSEWHERE" in os.environ:
            raise MemoryError
        return score
