"""Packages whose public names are imported when somebody asks for them: who needs plain data need not load torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazily(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Returns a package's ``__getattr__``, which imports the module of a name when that is first asked for.

    No name may be that of a module of the package: once imported, a module stands for itself.

    Args:
        package: its ``__name__``.
        names: public names by the module, below the package, that defines them.
    """
    modules = {name: module for module, there in names.items() for name in there}

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return find
