"""What may be chosen for each unit, and the `Policy`: one such choice for all of them."""

from typing import TYPE_CHECKING

from automc.lazily import lazily

if TYPE_CHECKING:
    from automc.search_spaces.config import SpaceConfig, load_preset, presets
    from automc.search_spaces.policy import Choice, Policy
    from automc.search_spaces.sampling import spread
    from automc.search_spaces.space import Axis, SearchSpace, build_space
else:
    __getattr__ = lazily(
        __name__,
        {
            "config": ["SpaceConfig", "load_preset", "presets"],
            "policy": ["Choice", "Policy"],
            "sampling": ["spread"],
            "space": ["Axis", "SearchSpace", "build_space"],
        },
    )

__all__ = [
    "Axis", "Choice", "Policy", "SearchSpace", "SpaceConfig", "build_space", "load_preset", "presets",
    "spread",
]  # fmt: skip
