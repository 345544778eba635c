"""What compression may look at: a few training examples, and how the network is run on them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from automc.tasks import Inputs


@dataclass(frozen=True)
class Calibration:
    """Examples of the ``train`` split.

    Attributes:
        inputs: the inputs of all examples, in one batch.
        targets: their targets, likewise; None where nobody gave any.
        loss: the task's loss of outputs and targets, a scalar.
        context: returns the context in which forward passes run, such as autocast's.
        seed: seeds whatever is sampled from them.
    """

    inputs: Inputs
    targets: Any = None
    loss: Callable[[Any, Any], Tensor] | None = None
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    seed: int = 0
