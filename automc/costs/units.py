"""Units of costs: those that a budget may be written in, and those that figures are shown in."""

from __future__ import annotations

_BYTES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
UNITS = {
    "latency": {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6},
    "size": _BYTES,
    "memory": _BYTES,
    "macs": {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9},
    "params": {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9},
    "energy": {"pj": 1e-6, "nj": 1e-3, "uj": 1.0, "µj": 1.0, "mj": 1e3, "j": 1e6},
}
"""What a budget's number may be followed by, for each metric, in lower case."""

_THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
STEPS = {
    "latency": ((1e6, "s"), (1e3, "ms"), (1.0, "µs")),
    **dict.fromkeys(("size", "memory"), tuple((factor, f"{prefix}B") for factor, prefix in _THOUSANDS)),
    "macs": _THOUSANDS,
    "params": _THOUSANDS,
    "energy": ((1e6, "J"), (1e3, "mJ"), (1.0, "µJ"), (1e-3, "nJ"), (1e-6, "pJ")),
}
"""Factors and units that figures of each metric are shown in, the largest first."""


def scale(kind: str, largest: float) -> tuple[float, str]:
    """Returns the factor and the unit in which costs of one kind, up to the largest, are short to write."""
    return next(((factor, unit) for factor, unit in STEPS[kind] if largest >= 0.9995 * factor), STEPS[kind][-1])


def format_cost(kind: str, value: float) -> str:
    """Returns a latency, an energy, a size in bytes, or a number of MACs or parameters with its unit."""
    factor, unit = scale(kind, value)
    return f"{number(value / factor)} {unit}".rstrip()


def number(value: float) -> str:
    """Returns three significant digits, never an exponent."""
    decimals = next((places for places, bound in enumerate((99.95, 9.995, 0.9995)) if abs(value) >= bound), 3)
    return f"{value:.{decimals}f}" if value else "0"
