"""Finding a task by its name, or a user's own class by ``path.py:Class``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from automc.errors import AutoMCError, TaskError, nearest
from automc.tasks._base import Task

BUILTIN = {
    "cifar10": ("automc.tasks.cifar10:Cifar10", "CIFAR-10 from your own files; ResNet-20 and -56, Plain-20, VGG-16"),
    "digits": ("automc.tasks.digits:Digits", "hand-written digits of scikit-learn at 32x32, a residual network"),
}


def load_task(name: str, arguments: dict[str, Any] | None = None, relative_to: Path | None = None) -> Task:
    """Returns the task of that name.

    Args:
        name: a built-in task, or ``path.py:Class`` of the user's own. Loading one runs that file.
        arguments: keyword arguments of the task's class; its `Task.paths` may be relative.
        relative_to: the folder in which a relative path starts; by default the current one.

    Raises:
        TaskError: the name is unknown, the file or class cannot be loaded, or the class is no `Task`.
    """
    if name in BUILTIN:
        module, attribute = BUILTIN[name][0].split(":")
        cls = getattr(importlib.import_module(module), attribute)
    elif ".py:" in name:
        cls = _from_file(name, relative_to or Path())
    else:
        raise TaskError(f"unknown task '{name}'{nearest(name, BUILTIN)}; a class of your own is path.py:Class")
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise TaskError(f"task '{name}' is not a subclass of automc.tasks.Task")
    try:
        return cls(**absolute_paths(cls, arguments or {}, relative_to or Path()))
    except AutoMCError:
        raise
    except Exception as error:
        hint = "; arguments are given as task_args in a configuration" if isinstance(error, TypeError) else ""
        raise TaskError(f"task '{name}' cannot be made: {type(error).__name__}: {error}{hint}") from error


def absolute_paths(task: Task | type[Task], arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Returns keyword arguments of a task with its `Task.paths` made absolute; relative ones start in ``folder``."""

    def absolute(value: Any) -> Any:
        return str((folder / Path(value).expanduser()).resolve()) if isinstance(value, str | Path) else value

    return {name: absolute(value) if name in task.paths else value for name, value in arguments.items()}


def _from_file(name: str, folder: Path) -> Any:
    file, _, attribute = name.rpartition(":")
    path = (folder / file).resolve()
    if not path.is_file():
        raise TaskError(f"task '{name}': no file {path}")
    spec = importlib.util.spec_from_file_location(f"automc_user_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TaskError(f"task '{name}': {path} fails on import: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        classes = [n for n, value in vars(module).items() if isinstance(value, type) and issubclass(value, Task)]
        raise TaskError(f"task '{name}': no class '{attribute}' in {path}{nearest(attribute, classes)}")
    return getattr(module, attribute)
