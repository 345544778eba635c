"""What runs under which policies, as expressions: the rule of the quantizers read once for all policies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np

class Signal:
    """Something that holds under some policies: an expression over what is chosen on axes.

    Signals and constants combine by ``&``, ``|`` and ``~`` as NumPy's flags do, so that code which was written for
    flags of many policies runs on them in an array of objects, and what it returns holds for every policy. A constant
    is a whole number whose last bit counts, so that ``~0`` is true and ``~1`` is not.
    """

    __slots__ = ()

    def __and__(self, other: Signal | int) -> Signal | int:
        return both([self, other])

    def __or__(self, other: Signal | int) -> Signal | int:
        return inverted(both([inverted(self), inverted(other)]))

    def __invert__(self) -> Signal | int:
        return inverted(self)

    __rand__, __ror__ = __and__, __or__


@dataclass(frozen=True)
class Chosen(Signal):
    """An axis takes one of some options; ``size`` is how many it has."""

    axis: int
    options: frozenset[int]
    size: int


@dataclass(frozen=True)
class All(Signal):
    """All of these hold: two or more, none of them an `All`, at most one `Chosen` an axis."""

    parts: frozenset[Signal]


@dataclass(frozen=True)
class Not(Signal):
    """An `All` does not hold; of anything else there is a simpler opposite."""

    of: All


def chosen(axis: int, said: np.ndarray) -> Signal | int:
    """Returns when an axis takes one of the options of which it is said, (O,)."""
    options = frozenset(np.flatnonzero(said).tolist())
    return Chosen(axis, options, len(said)) if 0 < len(options) < len(said) else int(bool(options))


def inverted(signal: Signal | int) -> Signal | int:
    """Returns when a signal does not hold."""
    if isinstance(signal, Chosen):
        return Chosen(signal.axis, frozenset(range(signal.size)) - signal.options, signal.size)
    if isinstance(signal, Not):
        return signal.of
    return Not(signal) if isinstance(signal, All) else ~int(cast(int, signal)) & 1


def both(signals: Iterable[Signal | int]) -> Signal | int:
    """Returns when all of some signals hold, in the simplest form that is quickly found."""
    waiting, axes, others = list(signals), dict[int, Chosen](), set[Not]()
    while waiting:
        signal = waiting.pop()
        if isinstance(signal, All):
            waiting += signal.parts
        elif isinstance(signal, Chosen):
            known = axes.get(signal.axis)
            options = signal.options & known.options if known else signal.options
            if not options:
                return 0
            axes[signal.axis] = Chosen(signal.axis, options, signal.size)
        elif isinstance(signal, Not):
            others.add(signal)
        elif not cast(int, signal) & 1:
            return 0
        if not waiting:  # what is known of the others may decide an opposite, or leave one part of it
            for other in sorted(others, key=lambda each: len(each.of.parts)):
                open_parts = [part for part in other.of.parts if not _follows(part, axes, others)]
                if not open_parts:
                    return 0
                if any(_excluded(part, axes, others) for part in open_parts):
                    others.remove(other)
                elif len(open_parts) == 1:
                    others.remove(other)
                    waiting.append(inverted(open_parts[0]))
    parts = frozenset[Signal]([*axes.values(), *others])
    return All(parts) if len(parts) > 1 else next(iter(parts), 1)


def parts_of(signal: Signal | int) -> frozenset[Signal]:
    """Returns what has to hold together; nothing for a constant."""
    if isinstance(signal, All):
        return signal.parts
    return frozenset([signal]) if isinstance(signal, Signal) else frozenset()


def holds(signal: Signal | int, indices: np.ndarray, known: dict[Signal, np.ndarray] | None = None) -> np.ndarray:
    """Says under which canonical policies (B, A) a signal holds.

    Args:
        signal: what is asked.
        indices: the policies, as option numbers.
        known: answers for the same policies, which are added to.
    """
    known = {} if known is None else known
    if not isinstance(signal, Signal):
        return np.full(len(indices), bool(signal & 1))
    if signal not in known:
        if isinstance(signal, Chosen):
            known[signal] = np.isin(indices[:, signal.axis], list(signal.options))
        elif isinstance(signal, Not):
            known[signal] = ~holds(signal.of, indices, known)
        else:
            known[signal] = np.all([holds(part, indices, known) for part in parts_of(signal)], axis=0)
    return known[signal]


def _follows(part: Signal, axes: dict[int, Chosen], others: set[Not]) -> bool:
    if isinstance(part, Chosen):
        return part.axis in axes and axes[part.axis].options <= part.options
    return part in others


def _excluded(part: Signal, axes: dict[int, Chosen], others: set[Not]) -> bool:
    return isinstance(part, Chosen) and part.axis in axes and not axes[part.axis].options & part.options
