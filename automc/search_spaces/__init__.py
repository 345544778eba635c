"""What may be chosen for each unit, and the `Policy`: one such choice for all of them."""

from automc.search_spaces.config import SpaceConfig, load_preset, presets
from automc.search_spaces.policy import Choice, Policy
from automc.search_spaces.sampling import spread
from automc.search_spaces.space import Axis, SearchSpace, build_space

__all__ = [
    "Axis", "Choice", "Policy", "SearchSpace", "SpaceConfig", "build_space", "load_preset", "presets",
    "spread",
]  # fmt: skip
