"""Integer programming over sensitivities and costs."""

from automc.agents.program.program import Program, Solution

__all__ = ["Program", "Solution"]
