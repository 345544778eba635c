"""Gymnasium environments that model the choices of a policy; importing this registers them.

``gymnasium.make("automc/Compress-v0", projection=..., reward=...)`` takes what `PolicyEnv` takes.
"""

import gymnasium

from automc.envs._base import Episode, PolicyEnv
from automc.envs.bits import AssignBitsEnv
from automc.envs.compress import CompressEnv
from automc.envs.decisions import Decision
from automc.envs.prune import PruneChannelsEnv
from automc.envs.rewards import REWARDS, Reward

__all__ = [
    "ENVS",
    "REWARDS",
    "AssignBitsEnv",
    "CompressEnv",
    "Decision",
    "Episode",
    "PolicyEnv",
    "PruneChannelsEnv",
    "Reward",
]

ENVS: dict[str, type[PolicyEnv]] = {
    "automc/PruneChannels-v0": PruneChannelsEnv,
    "automc/AssignBits-v0": AssignBitsEnv,
    "automc/Compress-v0": CompressEnv,
}
"""The environments that ship, by the name that Gymnasium knows them by."""

for _name, _env in ENVS.items():
    if _name not in gymnasium.registry:
        gymnasium.register(_name, entry_point=f"{_env.__module__}:{_env.__name__}")
