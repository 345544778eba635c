"""Sensitivities: how much each unit hurts at each choice."""

from automc.sensitivities.measure import measure
from automc.sensitivities.sensitivities import Sensitivities

__all__ = ["Sensitivities", "measure"]
