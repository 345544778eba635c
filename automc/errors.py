"""The errors a user can cause and mend. The command line prints them as one line and exits with code 2."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# What libraries that do not raise OSError or MemoryError say: SQLite, safetensors and Rust, PyTorch
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL = ("database or disk is full", "disk I/O error", "No space left on device", "File too large")
_NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "out of memory")


class AutoMCError(Exception):
    """What was wrong, where, and what to do about it, in one line."""


class ConfigError(AutoMCError):
    """A configuration, a budget or an argument makes no sense."""


class NotFound(ConfigError):
    """There is nothing of that name."""


class Conflict(ConfigError):
    """What is asked for is not possible as things stand."""


class Invalid(ConfigError):
    """What was asked for makes no sense, field by field.

    Args:
        fields: where each mistake is, with dots between keys, and what it is.
    """

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.fields = fields
        super().__init__("; ".join(f"{where}: {what}" for where, what in fields))


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


class SearchError(AutoMCError):
    """A search has no result, or the machine has no room for going on with it."""


class ClusterLost(AutoMCError):
    """The Ray cluster is gone, through no fault of what was asked for: it is worth trying again."""


def one_line(error: BaseException, length: int = 300) -> str:
    """Returns an error as one line that any file can hold: its class, unless it is one of ours, and its message."""
    own = isinstance(error, AutoMCError)
    text = " ".join(str(error).split()) if own else f"{type(error).__name__}: {' '.join(str(error).split())}"
    # a file's name that is not UTF-8 comes as lone surrogates
    return text.encode(errors="backslashreplace").decode().removesuffix(": ")[:length]


def lacking(error: BaseException) -> str | None:
    """Returns what the machine ran out of, ``disk space`` or ``memory``, where that caused an error; else None."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if isinstance(cause, MemoryError) or any(words in str(cause) for words in _NO_MEMORY):
            return "memory"
        if getattr(cause, "errno", None) in _NO_SPACE or any(words in str(cause) for words in _FULL):
            return "disk space"
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def users_code(what: str) -> Iterator[None]:
    """Turns what a user's task raises into a `TaskError` that begins with ``what``.

    Raises:
        TaskError: its code failed.
        Exception: as it was, where the machine is out of memory or disk space.
    """
    try:
        yield
    except AutoMCError:
        raise
    except Exception as error:
        if lacking(error):
            raise
        raise TaskError(f"{what}: {one_line(error)}") from error


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ``" (did you mean 'x'?)"`` for the known word closest to ``word``, or the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else f" (known: {', '.join(names)})"
