"""The accelerators that ship, by name."""

from __future__ import annotations

from automc.latency_tables.simulated._base import Accelerator
from automc.latency_tables.simulated.bismo import CLOUD, EDGE, Bismo
from automc.latency_tables.simulated.bitfusion import BitFusion
from automc.latency_tables.simulated.roofline import Roofline

ACCELERATORS = {
    "bismo-edge": "bit-serial array of 8x256x8 on a Zynq-7020: HAQ's edge device",
    "bismo-cloud": "bit-serial array of 16x256x16 on a VU9P: HAQ's cloud device",
    "bitfusion": "Bit Fusion, 16x32 fusion units in 45 nm",
    "roofline": "peaks and bandwidth of no device in particular",
}


def make_accelerator(name: str, batch: int = 1) -> Accelerator:
    """Returns one of `ACCELERATORS`; raises KeyError for another name."""
    made: dict[str, Accelerator] = {
        "bismo-edge": Bismo("bismo-edge", EDGE, batch),
        "bismo-cloud": Bismo("bismo-cloud", CLOUD, batch),
        "bitfusion": BitFusion(batch=batch),
        "roofline": Roofline(batch=batch),
    }
    return made[name]
