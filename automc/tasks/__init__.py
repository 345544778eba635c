"""What is to be compressed: a model, its data and its score."""

from typing import TYPE_CHECKING

from automc.lazily import lazily

if TYPE_CHECKING:
    from automc.tasks._base import Batch, Inputs, Split, Task, call, concatenate, example, examples
    from automc.tasks.registry import BUILTIN, absolute_paths, load_task
else:
    __getattr__ = lazily(
        __name__,
        {
            "_base": ["Batch", "Inputs", "Split", "Task", "call", "concatenate", "example", "examples"],
            "registry": ["BUILTIN", "absolute_paths", "load_task"],
        },
    )

__all__ = [
    "BUILTIN", "Batch", "Inputs", "Split", "Task", "absolute_paths", "call", "concatenate", "example",
    "examples", "load_task",
]  # fmt: skip
