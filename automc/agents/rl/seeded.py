"""Random numbers of libraries that draw from the process's own generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Runs a block with all global generators seeded by these numbers, on one thread, and leaves everything as it was.

    Stable-Baselines3 draws batches with NumPy's generator and noise with torch's; networks as small as an agent's are
    fastest on one thread, and sums do not depend on how many a machine has then.
    """
    numpy_state, python_state, threads = np.random.get_state(), random.getstate(), torch.get_num_threads()
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            np.random.set_state(numpy_state)
            random.setstate(python_state)
