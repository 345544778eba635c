"""Which bits there are, and which of them a device runs."""

from __future__ import annotations

from automc.errors import ConfigError
from automc.search_spaces.policy import FLOAT_BITS, INT8_BITS, KNOWN_BITS

Bits = tuple[int, int]
"""Bits of a layer's weights and of what it reads; 32 is float."""


def check_bits(unit: str, bits: Bits) -> None:
    """Refuses bits that no layer can have.

    Raises:
        ConfigError: naming the unit.
    """
    if not set(bits) <= set(KNOWN_BITS):
        raise ConfigError(f"the policy gives '{unit}' {bits[0]} and {bits[1]} bits; known are 2 to 8, or 32 for float")


def is_simulated(bits: Bits) -> bool:
    """Says whether no device here runs such a layer, so that its score is all there is (see `Device.precisions`)."""
    return bits not in (INT8_BITS, (FLOAT_BITS, FLOAT_BITS))
