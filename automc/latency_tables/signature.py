"""The key of a latency table: what an operator is, without the network it is in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from automc.errors import TableError

INT8 = "int8."
"""What the names of operators that run in int8 begin with."""
_BITS = re.compile(r"(?:int8|w(\d{1,2})a(\d{1,2}))\.")
_LARGEST = 2**40  # of any dimension
QUANTIZE, DEQUANTIZE = "quantize", "dequantize"
"""The names of what happens where precision changes."""


@dataclass(frozen=True, order=True)
class Signature:
    """An operator as the runtime runs it.

    Written as one line, for example ``conv+add+relu 16,32 d=1x1 g=1 hw=16x16 k=3x3 n=1 p=1x1 s=1x1``.

    Attributes:
        op: operator names joined by ``+`` in the order they are fused.
        channels: what pruning changes: (inputs, outputs) of a convolution or linear layer, one number otherwise.
        rest: everything else, as sorted (name, dimensions) pairs.
    """

    op: str
    channels: tuple[int, ...]
    rest: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, op: str, channels: tuple[int, ...], **rest: tuple[int, ...]) -> Signature:
        """Returns a signature from keyword arguments."""
        return cls(op, tuple(map(int, channels)), tuple(sorted((k, tuple(map(int, v))) for k, v in rest.items())))

    @property
    def family(self) -> tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]:
        """What signatures that differ in channels only have in common."""
        return self.op, self.rest

    def get(self, name: str) -> tuple[int, ...]:
        """Returns one entry of ``rest``."""
        return dict(self.rest)[name]

    @property
    def kind(self) -> str:
        """The operator names without their precision."""
        return _BITS.sub("", self.op, count=1)

    @property
    def bits(self) -> tuple[int, int]:
        """Bits of weights and of activations, (32, 32) for float; ``w4a6.conv`` has 4 and 6."""
        found = _BITS.match(self.op)
        return (32, 32) if not found else (int(found[1] or 8), int(found[2] or 8))

    def at_bits(self, weights: int, activations: int) -> Signature:
        """Returns the same operator in another precision."""
        prefix = {(32, 32): "", (8, 8): INT8}.get((weights, activations), f"w{weights}a{activations}.")
        return replace(self, op=prefix + self.kind)

    def __str__(self) -> str:
        rest = " ".join(f"{name}={'x'.join(map(str, value))}" for name, value in self.rest)
        return f"{self.op} {','.join(map(str, self.channels))} {rest}".rstrip()

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Returns the signature that a line stands for; raises TableError when it stands for none."""
        try:
            op, widths, *rest = text.split()
            channels = tuple(int(width) for width in widths.split(","))
            if min(channels) < 1:
                raise ValueError
            pairs = (item.split("=") for item in rest)
            dimensions = {name: tuple(int(v) for v in value.split("x")) if value else () for name, value in pairs}
            if max((*channels, *(size for sizes in dimensions.values() for size in sizes))) > _LARGEST:
                raise ValueError
            return cls.of(op, channels, **dimensions)
        except (ValueError, TypeError):  # TypeError: a name that `of` takes itself
            raise TableError(
                f"'{text}' is no operator signature; one looks like 'linear 64,10 n=1' (see automc latency show)"
            ) from None
