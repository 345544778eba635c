"""Recovery without training: what is left of a network is changed so that it gives what the original gave."""

from automc.compression.recovery.least_squares import LeastSquares
from automc.compression.recovery.recalibrate import recalibrate

__all__ = ["LeastSquares", "recalibrate"]
