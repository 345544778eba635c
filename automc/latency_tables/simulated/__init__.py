"""Accelerators on paper: models that give every pair of bits a latency and an energy."""

from automc.latency_tables.simulated._base import EVERY_PAIR, Accelerator
from automc.latency_tables.simulated.bismo import CLOUD, EDGE, Array, Bismo
from automc.latency_tables.simulated.bitfusion import BitFusion, Fusion
from automc.latency_tables.simulated.registry import ACCELERATORS, make_accelerator
from automc.latency_tables.simulated.roofline import Roofline

__all__ = [
    "ACCELERATORS",
    "CLOUD",
    "EDGE",
    "EVERY_PAIR",
    "Accelerator",
    "Array",
    "Bismo",
    "BitFusion",
    "Fusion",
    "Roofline",
    "make_accelerator",
]
