"""AutoMC: hardware-aware automatic model compression."""

__version__ = "0.1.0"
