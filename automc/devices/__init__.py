"""Devices: what they are, and running and timing models on them."""

from automc.devices.bench import LOCAL, Bench, LocalBench
from automc.devices.device import Device
from automc.devices.named import open_bench
from automc.devices.timing import Timing, time_models

__all__ = ["LOCAL", "Bench", "Device", "LocalBench", "Timing", "open_bench", "time_models"]
