"""Which channels stay: a score for each channel of each group, by one of several criteria."""

from automc.compression.selection._base import Selector
from automc.compression.selection.magnitude import magnitudes
from automc.compression.selection.registry import SELECTORS, check_selector, make_selector

__all__ = ["SELECTORS", "Selector", "check_selector", "magnitudes", "make_selector"]
