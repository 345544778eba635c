"""Tasks that fail while a network is trained; used as ``mortal.py:Mortal`` in searches on Ray."""

import os
import signal
from pathlib import Path

import torch

from automc.tasks import Inputs
from tests.trained import Blobs

BATCHES = 16
"""Batches of an epoch."""


class Noted(Blobs):
    """Notes every batch that is trained on, with the process that trains, in a file."""

    paths = ("notes",)

    def __init__(self, notes: str) -> None:
        super().__init__(brightness=1.2)
        self.notes = Path(notes)

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        with self.notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return inputs


class Mortal(Noted):
    """Takes the process that trains with it once, in the middle of the second epoch."""

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        super().augment(inputs, generator)
        if len(self.notes.read_text().splitlines()) == BATCHES + BATCHES // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return inputs


class Deadly(Noted):
    """Takes every process that trains with it."""

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        super().augment(inputs, generator)
        os.kill(os.getpid(), signal.SIGKILL)
        return inputs


class Broken(Noted):
    """Its own code fails at every batch."""

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        super().augment(inputs, generator)
        raise ValueError("no such\nimage")
