"""The errors a user can cause and mend. The command line prints them as one line and exits with code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutoMCError(Exception):
    """What was wrong, where, and what to do about it, in one line."""


class ConfigError(AutoMCError):
    """A configuration, a budget or an argument makes no sense."""


class TaskError(AutoMCError):
    """A task is unknown, cannot be loaded or breaks its contract."""


class TraceError(AutoMCError):
    """A model cannot be traced, or has nothing to compress."""


class BudgetError(AutoMCError):
    """A budget cannot be reached by any policy of the space."""


class TableError(AutoMCError):
    """A latency table is damaged, belongs to another device, or lacks an operator."""


class RecipeError(AutoMCError):
    """A recipe is damaged, too new, or belongs to another model."""


class RuntimeFailure(AutoMCError):
    """A child process or the serving runtime failed on what it was given."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ``" (did you mean 'x'?)"`` for the known word closest to ``word``, or the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else f" (known: {', '.join(names)})"
