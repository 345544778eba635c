"""Gymnasium environments that model the choices of a policy; importing this registers them.

``gymnasium.make("automc/Compress-v0", projection=..., score=...)`` takes what `CompressEnv` takes.
"""

import gymnasium

from automc.envs.compress import CompressEnv

__all__ = ["CompressEnv"]

if "automc/Compress-v0" not in gymnasium.registry:
    gymnasium.register("automc/Compress-v0", entry_point="automc.envs.compress:CompressEnv")
