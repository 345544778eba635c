"""Devices: what they are, and running and timing models on them."""

from automc.devices.bench import Bench, LocalBench
from automc.devices.device import Device
from automc.devices.timing import Timing, time_models

__all__ = ["Bench", "Device", "LocalBench", "Timing", "time_models"]
