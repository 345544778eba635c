"""What all answers have in common."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import ConfigDict

from automc.docstrings import Described

T = TypeVar("T")

MOST = 500
"""Items of one page at most."""


class Answer(Described):
    """Plain data; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(Answer, Generic[T]):
    """Some of many items.

    Attributes:
        items: these.
        total: how many there are, pages before and after included.
        offset: how many come before.
    """

    items: list[T]
    total: int
    offset: int = 0


class Named(Answer):
    """Something to choose, in a line.

    Attributes:
        name: what to write.
        what: what it is.
    """

    name: str
    what: str
