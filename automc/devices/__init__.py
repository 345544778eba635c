"""Devices: what they are, and running and timing models on them."""

from typing import TYPE_CHECKING

from automc.lazily import lazily

if TYPE_CHECKING:
    from automc.devices.bench import LOCAL, Bench, LocalBench
    from automc.devices.device import Device
    from automc.devices.named import open_bench
    from automc.devices.timing import Timing, time_models
else:
    __getattr__ = lazily(
        __name__,
        {
            "bench": ["LOCAL", "Bench", "LocalBench"],
            "device": ["Device"],
            "named": ["open_bench"],
            "timing": ["Timing", "time_models"],
        },
    )

__all__ = ["LOCAL", "Bench", "Device", "LocalBench", "Timing", "open_bench", "time_models"]
