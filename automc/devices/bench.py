"""Where ONNX models are timed: this machine, or one far away."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automc.devices.child import Feeds, run_child
from automc.devices.device import Device

LOCAL = "local"
"""The name of this machine."""


class Bench(ABC):
    """A device at hand.

    Attributes:
        name: by which it was asked for.
        device: what it is, with the threads and examples of one inference.
    """

    name: str
    device: Device

    @abstractmethod
    def run(
        self,
        action: str,
        description: str,
        steps: int,
        models: Sequence[Path],
        inputs: Sequence[Feeds] = (),
        **arguments: Any,
    ) -> Any:
        """Runs one action of `_runner.py` on the device, in a process of its own.

        Args:
            action: ``profile`` or ``clock``.
            description: what the progress bar says.
            steps: how many steps it will report.
            models: ONNX files.
            inputs: arrays by input name, for each model, where the action takes any.
            **arguments: the action's other arguments, plain data.

        Returns:
            The action's answer, plain data.

        Raises:
            RuntimeFailure: the runtime failed on a model, or the device does not answer.
        """


class LocalBench(Bench):
    """This machine.

    Args:
        threads: threads of one inference.
        batch: examples in one inference.
    """

    def __init__(self, threads: int = 1, batch: int = 1) -> None:
        self.name, self.device = LOCAL, Device.local(threads, batch)

    def run(
        self,
        action: str,
        description: str,
        steps: int,
        models: Sequence[Path],
        inputs: Sequence[Feeds] = (),
        **arguments: Any,
    ) -> Any:
        """Runs one action in a child process."""
        paths = [str(path) for path in models]
        answer, _ = run_child(
            action, description, steps, inputs, models=paths, threads=self.device.threads, **arguments
        )
        return answer
