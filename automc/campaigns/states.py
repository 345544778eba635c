"""How a campaign can stand."""

from typing import Literal

State = Literal["queued", "running", "paused", "finished", "failed", "cancelled"]

GOING = ("queued", "running")
"""States in which a campaign may change by itself."""
