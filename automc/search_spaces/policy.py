"""The one value that flows through everything."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

FLOAT_BITS = 32
INT8_BITS = (8, 8)
"""Bits of weights and of activations of a layer that runs in int8."""
KNOWN_BITS = (*range(2, 9), FLOAT_BITS)
"""Bits that weights or activations can be given; those of a layer are simulated unless the device runs the pair."""


def reference_bits(precisions: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Returns the precision of a network as it is, on a device that runs these: float, else the most bits it has."""
    return max(precisions)


@dataclass(frozen=True, order=True)
class Choice:
    """What is chosen for one unit; a field that does not apply to the unit is None.

    Attributes:
        channels: channels kept, for a channel group.
        keep: whether the block stays, for a residual block.
        weight_bits: bits of a layer's weights, 1 to 8, or 32 for float.
        activation_bits: bits of a layer's activations, likewise.
    """

    channels: int | None = None
    keep: bool | None = None
    weight_bits: int | None = None
    activation_bits: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a choice that no network could follow."""
        if self.channels is not None and (type(self.channels) is not int or self.channels < 1):
            raise ValueError(f"channels must be a whole number above 0, not {self.channels!r}")
        if self.keep is not None and type(self.keep) is not bool:
            raise ValueError(f"keep must be true or false, not {self.keep!r}")
        for bits in (self.weight_bits, self.activation_bits):
            if bits is not None and bits not in (*range(1, 9), FLOAT_BITS):
                raise ValueError(f"bits must be 1 to 8, or {FLOAT_BITS} for float, not {bits!r}")

    @classmethod
    def of(cls, **fields: Any) -> Choice:
        """Returns a choice that is made once for all policies that choose the same: searches hold thousands of these.

        Raises:
            TypeError: there is no such field.
            ValueError: no network could follow the choice.
        """
        try:
            return _made(**fields)
        except TypeError:  # what has no hash has its message from here
            return cls(**fields)

    @property
    def precision(self) -> str | None:
        """``int8``, ``float``, or bits of weights and activations; None where none was chosen."""
        bits = (self.weight_bits, self.activation_bits)
        if bits == (None, None):
            return None
        names: dict[object, str] = {INT8_BITS: "int8", (FLOAT_BITS, FLOAT_BITS): "float"}
        return names.get(bits, "{}/{} bits".format(*bits))

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}


_made = lru_cache(maxsize=2**14, typed=True)(Choice)  # typed: True is no number of channels, though it equals 1


class Policy(Mapping[str, Choice]):
    """An immutable, hashable map from unit name to that unit's `Choice`.

    Two policies are equal when they choose the same for the same units, in whatever order these were given.
    """

    __slots__ = ("_choices", "_hash")

    def __init__(self, choices: Mapping[str, Choice]) -> None:
        self._choices = dict(sorted(choices.items()))
        self._hash = hash(tuple(self._choices.items()))

    def __getitem__(self, unit: str) -> Choice:
        return self._choices[unit]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Policy, (self._choices,)  # hashes of strings differ between processes

    def __repr__(self) -> str:
        return f"Policy({self.to_dict()})"

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns plain data: a dict of dicts, for YAML and JSON."""
        return {unit: choice.to_dict() for unit, choice in self.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, Any]]) -> Policy:
        """Returns the policy that `to_dict` wrote; raises TypeError or ValueError for what no choice can be."""
        # names from files are made once too
        return cls({sys.intern(unit): Choice.of(**fields) for unit, fields in data.items()})
