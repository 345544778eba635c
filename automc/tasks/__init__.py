"""What is to be compressed: a model, its data and its score."""

from automc.tasks._base import Batch, Inputs, Split, Task, call, concatenate, example, examples
from automc.tasks.registry import BUILTIN, absolute_paths, load_task

__all__ = [
    "BUILTIN", "Batch", "Inputs", "Split", "Task", "absolute_paths", "call", "concatenate", "example",
    "examples", "load_task",
]  # fmt: skip
