"""Running an exported file on a task's data, in a process that has no AutoMC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from automc.devices import Device
from automc.devices.child import Feeds, run_child
from automc.errors import RuntimeFailure
from automc.tasks import Inputs, Split, Task, concatenate
from automc.tasks.loops import finite_score


def feeds(inputs: Inputs) -> Feeds:
    """Returns inputs as arrays by the names that an exported file gives them."""
    named = inputs if isinstance(inputs, dict) else {"input": inputs}
    return {name: tensor.numpy() for name, tensor in named.items()}


def deployed_score(path: Path, task: Task, split: Split, outputs_like: Any, device: Device) -> float:
    """Returns the task's score of an exported file.

    Args:
        path: an ONNX file or a ``torch.export`` program.
        task: gives data and score.
        split: what to score on.
        outputs_like: what the model returns for some inputs, for the structure of its outputs.
        device: gives the threads.

    Raises:
        TaskError: the score is not a finite number.
    """
    batches = list(task.batches(split))
    arrays = deployed_outputs(path, [inputs for inputs, _ in batches], device)
    leaves, structure = pytree.tree_flatten(outputs_like)
    found = iter(arrays)
    outputs = pytree.tree_unflatten(
        [torch.from_numpy(next(found)) if torch.is_tensor(leaf) else leaf for leaf in leaves], structure
    )
    return finite_score(task, outputs, concatenate([targets for _, targets in batches]))


def deployed_outputs(path: Path, batches: list[Inputs], device: Device) -> list[np.ndarray]:
    """Returns the outputs of an exported file, each concatenated over the batches."""
    if not path.is_file():
        raise RuntimeFailure(f"{path}: no such file; export it with: automc recipe export")
    _, outputs = run_child(
        "predict",
        f"Running {path.name}",
        len(batches),
        [feeds(inputs) for inputs in batches],
        models=[str(path)],
        threads=device.threads,
        batches=len(batches),
    )
    return outputs
